#include "src/runtime/seccomp_compaction.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace berth {
namespace {

constexpr size_t kFarthestBranch = 255;  // jt and jf are bytes

// What is left to do once architecture and number are known: answer, or go on at an instruction
// that looks at the call's arguments.
struct Rest {
  bool is_answer = false;
  uint32_t value = 0;  // the answer, or the instruction's place

  friend auto operator<=>(const Rest&, const Rest&) = default;
};
struct Range {
  uint32_t first = 0;  // number; it ends where the next one begins
  Rest rest;
};

// What the accumulator holds.
enum class Holds { kNothing, kArchitecture, kNumber };

// Follows a program for one architecture through all numbers.
class Walk {
 public:
  // No `architecture`: any that the program does not compare with. What it compares with is added
  // to `compared`.
  Walk(const std::vector<sock_filter>& program, std::optional<uint32_t> architecture,
       std::set<uint32_t>* compared)
      : program_(program), architecture_(architecture), compared_(compared) {}

  // In ascending order. False if the program does what is not understood here.
  bool Follow(std::vector<Range>* ranges) {
    if (!From(0, Holds::kNothing, 0, UINT32_MAX)) return false;
    *ranges = std::move(ranges_);
    return true;
  }

 private:
  bool From(size_t at, Holds held, uint32_t first, uint32_t last) {
    for (; at < program_.size(); ++at) {
      const sock_filter& instruction = program_[at];
      switch (BPF_CLASS(instruction.code)) {
        case BPF_LD:
          if (instruction.code != (BPF_LD | BPF_W | BPF_ABS)) return false;
          if (instruction.k == offsetof(seccomp_data, arch)) {
            held = Holds::kArchitecture;
          } else if (instruction.k == offsetof(seccomp_data, nr)) {
            held = Holds::kNumber;
          } else {
            Add(first, {.value = static_cast<uint32_t>(at)});
            return true;
          }
          break;
        case BPF_RET:
          if (BPF_RVAL(instruction.code) != BPF_K) return false;
          Add(first, {.is_answer = true, .value = instruction.k});
          return true;
        case BPF_JMP:
          if (instruction.code == (BPF_JMP | BPF_JA)) {
            at += instruction.k;
            break;
          }
          if (held == Holds::kNumber) return Split(at, first, last);
          if (held != Holds::kArchitecture || instruction.code != (BPF_JMP | BPF_JEQ | BPF_K))
            return false;
          compared_->insert(instruction.k);
          at += architecture_ == instruction.k ? instruction.jt : instruction.jf;
          break;
        default:
          return false;
      }
    }
    return false;
  }

  // A comparison of the number: each part of the numbers goes its way.
  bool Split(size_t at, uint32_t first, uint32_t last) {
    const sock_filter& jump = program_[at];
    const size_t yes = at + 1 + jump.jt, no = at + 1 + jump.jf;
    const uint64_t k = jump.k;
    switch (jump.code) {
      case BPF_JMP | BPF_JEQ | BPF_K:
        return Part(no, first, last, 0, k) && Part(yes, first, last, k, k + 1) &&
               Part(no, first, last, k + 1, kEnd);
      case BPF_JMP | BPF_JGT | BPF_K:
        return Part(no, first, last, 0, k + 1) && Part(yes, first, last, k + 1, kEnd);
      case BPF_JMP | BPF_JGE | BPF_K:
        return Part(no, first, last, 0, k) && Part(yes, first, last, k, kEnd);
    }
    return false;
  }

  // Of [first, last] what is in [begin, end) goes on at `at`.
  bool Part(size_t at, uint32_t first, uint32_t last, uint64_t begin, uint64_t end) {
    const uint64_t from = std::max<uint64_t>(first, begin), to = std::min(uint64_t{last} + 1, end);
    return from >= to ||
           From(at, Holds::kNumber, static_cast<uint32_t>(from), static_cast<uint32_t>(to - 1));
  }

  void Add(uint32_t first, Rest rest) {
    if (ranges_.empty() || ranges_.back().rest != rest)
      ranges_.push_back({.first = first, .rest = rest});
  }

  static constexpr uint64_t kEnd = uint64_t{1} << 32;
  const std::vector<sock_filter>& program_;
  const std::optional<uint32_t> architecture_;
  std::set<uint32_t>* const compared_;
  std::vector<Range> ranges_;
};

// Writes a program from its end to its beginning, since all jumps go forward. A place is the number
// of instructions from there to the end.
class Writer {
 public:
  explicit Writer(const std::vector<sock_filter>& source) : source_(source) {}

  // The place of a choice by number among ranges[begin, end).
  size_t Choose(const std::vector<Range>& ranges, size_t begin, size_t end) {
    if (end - begin == 1) return PlaceOf(ranges[begin].rest);
    const size_t middle = begin + (end - begin) / 2;
    const size_t upper = Choose(ranges, middle, end), lower = Choose(ranges, begin, middle);
    return Branch(BPF_JMP | BPF_JGE | BPF_K, ranges[middle].first, upper, lower);
  }

  size_t Branch(uint16_t code, uint32_t k, size_t yes, size_t no) {
    // The farther one first: a jump that is put in for it moves the other one away.
    size_t& farther = yes < no ? yes : no;
    size_t& nearer = yes < no ? no : yes;
    farther = Near(farther, 1);
    nearer = Near(nearer, 0);
    const size_t at = reversed_.size();
    return Put({.code = code,
                .jt = static_cast<uint8_t>(at - yes),
                .jf = static_cast<uint8_t>(at - no),
                .k = k});
  }

  size_t Load(uint32_t offset, size_t next) {
    GoOnAt(next);
    return Put({.code = BPF_LD | BPF_W | BPF_ABS, .k = offset});
  }

  std::vector<sock_filter> Finish() && {
    std::reverse(reversed_.begin(), reversed_.end());
    return std::move(reversed_);
  }

 private:
  size_t Put(const sock_filter& instruction) {
    reversed_.push_back(instruction);
    return reversed_.size();
  }

  size_t PlaceOf(const Rest& rest) {
    return rest.is_answer ? Answer(rest.value) : Copy(rest.value);
  }

  size_t Answer(uint32_t value) {
    size_t& place = answers_[value];
    if (place == 0 || reversed_.size() - place >= kFarthestBranch / 2)
      place = Put({.code = BPF_RET | BPF_K, .k = value});
    return place;
  }

  // The source from `at` on.
  size_t Copy(uint32_t at) {
    const auto known = copies_.find(at);
    if (known != copies_.end()) return known->second;
    const sock_filter& instruction = source_[at];
    size_t place = 0;
    if (BPF_CLASS(instruction.code) == BPF_RET) {
      place = BPF_RVAL(instruction.code) == BPF_K ? Answer(instruction.k) : Put(instruction);
    } else if (instruction.code == (BPF_JMP | BPF_JA)) {
      place = Copy(at + 1 + instruction.k);
    } else if (BPF_CLASS(instruction.code) == BPF_JMP) {
      const size_t yes = Copy(at + 1 + instruction.jt), no = Copy(at + 1 + instruction.jf);
      place = Branch(instruction.code, instruction.k, yes, no);
    } else {
      GoOnAt(Copy(at + 1));
      place = Put(instruction);
    }
    return copies_[at] = place;
  }

  // A place from which `target` is reached by a branch, even when `more` instructions come before
  // it.
  size_t Near(size_t target, size_t more) {
    if (reversed_.size() + more - target <= kFarthestBranch) return target;
    return Put({.code = BPF_JMP | BPF_JA, .k = static_cast<uint32_t>(reversed_.size() - target)});
  }

  // What is put next is followed by `target`.
  void GoOnAt(size_t target) {
    if (target != reversed_.size())
      Put({.code = BPF_JMP | BPF_JA, .k = static_cast<uint32_t>(reversed_.size() - target)});
  }

  const std::vector<sock_filter>& source_;
  std::vector<sock_filter> reversed_;
  std::map<uint32_t, size_t> answers_;  // the nearest place of each
  std::map<uint32_t, size_t> copies_;   // by the place in the source
};

}  // namespace

std::vector<sock_filter> CompactFilter(std::vector<sock_filter> program) {
  std::set<uint32_t> compared;
  std::vector<Range> others;
  if (!Walk(program, std::nullopt, &compared).Follow(&others)) return program;
  std::map<uint32_t, std::vector<Range>> architectures;
  // Ones that only another one's way compares with are among them; they have ways of their own too.
  while (architectures.size() < compared.size()) {
    for (const uint32_t architecture : std::set<uint32_t>(compared)) {
      if (architectures.contains(architecture)) continue;
      if (!Walk(program, architecture, &compared).Follow(&architectures[architecture]))
        return program;
    }
  }
  Writer writer(program);
  const auto by_number = [&](const std::vector<Range>& ranges) {
    const size_t choice = writer.Choose(ranges, 0, ranges.size());
    return ranges.size() == 1 ? choice : writer.Load(offsetof(seccomp_data, nr), choice);
  };
  size_t begin = by_number(others);
  for (const auto& [architecture, ranges] : architectures) {
    const size_t own = by_number(ranges);
    begin = writer.Branch(BPF_JMP | BPF_JEQ | BPF_K, architecture, own, begin);
  }
  writer.Load(offsetof(seccomp_data, arch), begin);
  std::vector<sock_filter> compact = std::move(writer).Finish();
  return compact.size() < program.size() ? compact : program;
}

}  // namespace berth
