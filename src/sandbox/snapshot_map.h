// A map from ids to values, in the order of the ids, whose copy is cheap: copies share what neither
// of them has changed since. A change costs a copy of the few neighbours of what it changes and one
// pointer for each group of neighbours, where a std::map would be copied whole. What the snapshots
// of NodeState are made of. As thread-safe as a std::map: copies that share are independent of each
// other.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace berth {

template <typename Value>
class SnapshotMap {
 public:
  using value_type = std::pair<std::string, Value>;

 private:
  using Group = std::vector<value_type>;  // sorted, never empty
  using Groups = std::vector<std::shared_ptr<const Group>>;

 public:
  class const_iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = SnapshotMap::value_type;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = const value_type&;

    const_iterator() = default;
    reference operator*() const { return (**group_)[at_]; }
    pointer operator->() const { return &**this; }
    const_iterator& operator++() {
      if (++at_ == (*group_)->size()) {
        ++group_;
        at_ = 0;
      }
      return *this;
    }
    const_iterator operator++(int) {
      const_iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const const_iterator& other) const = default;

   private:
    friend SnapshotMap;
    const_iterator(typename Groups::const_iterator group, size_t at) : group_(group), at_(at) {}
    typename Groups::const_iterator group_;
    size_t at_ = 0;
  };

  const_iterator begin() const { return {groups_.begin(), 0}; }
  const_iterator end() const { return {groups_.end(), 0}; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // The first whose id is not less than `id`.
  const_iterator lower_bound(absl::string_view id) const {
    const auto group = std::partition_point(
        groups_.begin(), groups_.end(),
        [&](const std::shared_ptr<const Group>& each) { return each->back().first < id; });
    if (group == groups_.end()) return end();
    return {group, PlaceIn(**group, id)};
  }
  const_iterator find(absl::string_view id) const {
    const const_iterator found = lower_bound(id);
    return found != end() && found->first == id ? found : end();
  }
  bool contains(absl::string_view id) const { return find(id) != end(); }

  // Inserts it or replaces the value that the id has.
  void Put(const std::string& id, Value value) {
    if (groups_.empty()) {
      groups_.push_back(std::make_shared<const Group>(Group{{id, std::move(value)}}));
      ++size_;
      return;
    }
    // What is behind all others goes into the last group.
    const size_t at =
        std::min<size_t>(lower_bound(id).group_ - groups_.begin(), groups_.size() - 1);
    Group group = *groups_[at];
    const auto place = group.begin() + static_cast<std::ptrdiff_t>(PlaceIn(group, id));
    if (place != group.end() && place->first == id) {
      place->second = std::move(value);
    } else {
      group.emplace(place, id, std::move(value));
      ++size_;
    }
    if (group.size() > kMaxGroup) {
      const auto middle = group.begin() + kMaxGroup / 2;
      groups_.insert(groups_.begin() + static_cast<std::ptrdiff_t>(at),
                     std::make_shared<const Group>(std::make_move_iterator(group.begin()),
                                                   std::make_move_iterator(middle)));
      group.erase(group.begin(), middle);
      groups_[at + 1] = std::make_shared<const Group>(std::move(group));
      return;
    }
    groups_[at] = std::make_shared<const Group>(std::move(group));
  }

  // Nothing happens where it is not.
  void Erase(absl::string_view id) {
    const const_iterator found = find(id);
    if (found == end()) return;
    const auto at = static_cast<size_t>(found.group_ - groups_.begin());
    Group group = **found.group_;
    group.erase(group.begin() + static_cast<std::ptrdiff_t>(found.at_));
    --size_;
    // A group that is nearly empty joins the next one.
    if (at + 1 < groups_.size() && group.size() + groups_[at + 1]->size() <= kMaxGroup / 2) {
      group.insert(group.end(), groups_[at + 1]->begin(), groups_[at + 1]->end());
      groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
    if (group.empty()) {
      groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(at));
    } else {
      groups_[at] = std::make_shared<const Group>(std::move(group));
    }
  }

 private:
  static constexpr size_t kMaxGroup = 32;

  static size_t PlaceIn(const Group& group, absl::string_view id) {
    const auto place = std::partition_point(
        group.begin(), group.end(), [&](const value_type& each) { return each.first < id; });
    return static_cast<size_t>(place - group.begin());
  }

  Groups groups_;
  size_t size_ = 0;
};

}  // namespace berth
