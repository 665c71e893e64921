#include "test/e2e/hostile.h"

#include <filesystem>

#include "absl/strings/str_cat.h"

namespace berth::e2e {

void HostileTest::TearDown() {
  for (const std::string& image : images_) EXPECT_OK(client().RemoveImage(image));
  ProbedTest::TearDown();
}

absl::StatusOr<std::string> HostileTest::TryImage(std::vector<TarEntry> entries,
                                                  const Json& config) {
  ImageRecipe recipe = ProbeRecipe();
  recipe.layers.push_back({std::move(entries)});
  recipe.config.update(config);
  const std::string reference =
      node().registry().Add(absl::StrCat("hostile", images_.size()), Name(), Build(recipe));
  if (const auto pulled = client().Pull(reference); !pulled.ok()) return pulled.status();
  images_.push_back(reference);
  return reference;
}

std::string HostileTest::MakeImage(std::vector<TarEntry> entries, const Json& config) {
  const auto image = TryImage(std::move(entries), config);
  EXPECT_OK(image);
  return image.ok() ? *image : "";
}

cri::ContainerConfig HostileTest::From(const std::string& image,
                                       const std::vector<std::string>& arguments) {
  cri::ContainerConfig config = MakeKubeletProbe("c", arguments);
  config.mutable_image()->set_image(image);
  return config;
}

void HostileTest::RunWhatever(const cri::ContainerConfig& config) {
  auto pod = Pod::Run(client(), MakeKubeletPodConfig(Name()));
  ASSERT_OK(pod);
  const auto id = pod->Create(config);
  if (!id.ok()) return;
  if (!client().Start(*id).ok()) return;
  EXPECT_OK(client().WaitExit(*id));
}

Canary::~Canary() {
  EXPECT_EQ(dir_.Read("canary"), "sings\n");
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path()))
    EXPECT_EQ(entry.path().filename(), "canary") << "made on the node: " << entry.path();
}

}  // namespace berth::e2e
