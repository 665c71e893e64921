// Boost.Asio as berth-stream uses it: one thread, coroutines, errors as values.
#pragma once

#include <utility>  // Asio 1.74's awaitable.hpp forgets it

#include <boost/asio.hpp>

namespace berth {

namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;
using Clock = asio::steady_timer::clock_type;
using ErrorCode = boost::system::error_code;

// The completion token of this folder: co_await Op(..., Into(error)).
inline auto Into(ErrorCode& error) { return asio::redirect_error(asio::use_awaitable, error); }

}  // namespace berth
