#include "src/server/reply_cache.h"

#include <gtest/gtest.h>

#include "cri/runtime/v1/api.pb.h"

namespace berth {
namespace {

namespace cri = runtime::v1;

class ReplyCacheTest : public testing::Test {
 protected:
  ReplyCache::Entry Entry(const std::shared_ptr<const std::string>& id) {
    return {id, [this, id](google::protobuf::MessageLite* out) {
              ++filled_;
              static_cast<cri::Container*>(out)->set_id(*id);
            }};
  }
  static std::string Ids(const grpc::Slice& slice) {
    cri::ListContainersResponse reply;
    EXPECT_TRUE(reply.ParseFromArray(slice.begin(), static_cast<int>(slice.size())));
    std::string ids;
    for (const cri::Container& container : reply.containers()) ids += container.id() + " ";
    return ids;
  }
  using Id = std::shared_ptr<const std::string>;
  static Id MakeId(const char* id) { return std::make_shared<const std::string>(id); }

  int filled_ = 0;
  ReplyCache cache_{cri::ListContainersResponse::kContainersFieldNumber,
                    std::make_unique<cri::Container>()};
};

TEST_F(ReplyCacheTest, SerialisesAnEntryOnce) {
  const Id a = MakeId("a"), b = MakeId("b");
  cache_.All(MakeId("1"), [&] { return std::vector{Entry(a), Entry(b)}; });
  EXPECT_EQ(Ids(cache_.Some({Entry(b)})), "b ");
  EXPECT_EQ(filled_, 2);
  EXPECT_EQ(Ids(cache_.Some({})), "");
}

TEST_F(ReplyCacheTest, KeepsNothingOfWhatOnlySomeAskedFor) {
  Id a = MakeId("a");
  const std::weak_ptr<const std::string> weak = a;
  EXPECT_EQ(Ids(cache_.Some({Entry(a)})), "a ");
  a.reset();
  EXPECT_TRUE(weak.expired());
}

TEST_F(ReplyCacheTest, AsksForEntriesOnlyWhereTheSourceHasChanged) {
  const Id a = MakeId("a"), b = MakeId("b");
  const Id first = MakeId("snapshot 1"), second = MakeId("snapshot 2");
  int asked = 0;
  const auto entries = [&](std::vector<Id> ids) {
    return [this, &asked, ids] {
      ++asked;
      std::vector<ReplyCache::Entry> all;
      for (const Id& id : ids) all.push_back(Entry(id));
      return all;
    };
  };
  EXPECT_EQ(Ids(cache_.All(first, entries({a, b}))), "a b ");
  EXPECT_EQ(Ids(cache_.All(first, entries({}))), "a b ");
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(Ids(cache_.All(second, entries({b}))), "b ");
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(filled_, 2);
}

TEST_F(ReplyCacheTest, LetsGoOfWhatIsNoLongerListed) {
  Id a = MakeId("a");
  const std::weak_ptr<const std::string> weak = a;
  cache_.All(MakeId("1"), [&] { return std::vector<ReplyCache::Entry>{Entry(a)}; });
  a.reset();
  EXPECT_FALSE(weak.expired());
  cache_.All(MakeId("2"), [] { return std::vector<ReplyCache::Entry>(); });
  EXPECT_TRUE(weak.expired());
}

}  // namespace
}  // namespace berth
