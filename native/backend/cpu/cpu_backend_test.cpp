// What the CPU backend says of itself, and how it refuses what it cannot do.
#include "backend/cpu/cpu_backend.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "backend/cpu/host_memory.h"
#include "engine/error.h"

namespace engine::cpu {

namespace {

namespace fs = std::filesystem;

TEST(CpuBackend, NamesTheInstructionSetAndALibraryThatMultipliesOnIt) {
  for (const Isa isa : available_isas()) {
    const auto backend = make_cpu_backend({.threads = 2, .isa = isa_name(isa)});
    const BackendInfo& info = backend->info();
    EXPECT_TRUE(info.kind.starts_with(std::string("cpu ") + isa_name(isa))) << info.kind;
    const bool tiles = isa == Isa::kAvx512 && cpu_has_bf16() && cpu_has_bf16_tiles();
    EXPECT_EQ(info.kind.find(" onednn-") != std::string::npos, tiles) << info.kind;
    EXPECT_TRUE(info.device_name.ends_with("(2 threads)")) << info.device_name;
    EXPECT_EQ(info.threads, 2);
    EXPECT_GT(info.memory_bytes, 0u);
  }
}

TEST(CpuBackend, TakesTheBestInstructionSetAndAllCoresWhenNothingIsAsked) {
  const auto backend = make_cpu_backend({});
  EXPECT_EQ(backend->info().isa, isa_name(available_isas().back()));
  EXPECT_GE(backend->info().threads, 1);
}

TEST(CpuBackend, RefusesAnUnknownInstructionSetAndAnImpossibleNumberOfThreads) {
  for (const CpuOptions& options :
       {CpuOptions{.threads = 1, .isa = "avx1024"}, CpuOptions{.threads = -1, .isa = ""},
        CpuOptions{.threads = 1'000'000, .isa = ""}}) {
    try {
      make_cpu_backend(options);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    }
  }
}

TEST(CpuBackend, RefusesABufferBeyondTheMemoryWithNeededAndAvailable) {
  const auto backend = make_cpu_backend({});
  try {
    backend->allocate({int64_t{1} << 40}, DType::kF32);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_NE(std::string(error.what()).find("4194304 MiB is needed"), std::string::npos)
        << error.what();
    EXPECT_NE(std::string(error.what()).find("are available"), std::string::npos);
  }
}

TEST(CpuBackend, CopiesToTheDeviceAndBack) {
  const auto backend = make_cpu_backend({});
  Tensor host({3}, DType::kI32), back({3}, DType::kI32);
  for (int i = 0; i < 3; ++i) host.view().i32()[i] = i - 1;
  const Tensor device = backend->allocate({3}, DType::kI32);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(device.view().data()) % kBufferAlignment, 0u);
  backend->upload(host, device);
  backend->download(device, back);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(back.view().i32()[i], i - 1);
}

// A folder that looks like the root of a Linux system.
class HostMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "host_memory_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    write("proc/meminfo", "MemTotal:    1000 kB\nMemFree:   10 kB\nMemAvailable:    600 kB\n");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const fs::path& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }

  fs::path root_;
};

TEST_F(HostMemoryTest, IsTheKernelsWithoutControlGroups) {
  EXPECT_EQ(host_memory(root_).total_bytes, 1000u * 1024);
  EXPECT_EQ(host_memory(root_).available_bytes, 600u * 1024);
}

TEST_F(HostMemoryTest, IsLoweredByTheTightestGroupAboveTheProcess) {
  write("proc/self/cgroup", "0::/pod/box\n");
  write("sys/fs/cgroup/pod/memory.max", "400000\n");
  write("sys/fs/cgroup/pod/memory.current", "300000\n");
  write("sys/fs/cgroup/pod/memory.stat", "anon 1\ninactive_file 40000\nactive_file 10000\n");
  write("sys/fs/cgroup/pod/box/memory.max", "max\n");
  write("sys/fs/cgroup/pod/box/memory.current", "200000\n");
  EXPECT_EQ(host_memory(root_).total_bytes, 400000u);
  EXPECT_EQ(host_memory(root_).available_bytes, 150000u);  // file pages can be pushed out
}

TEST_F(HostMemoryTest, KnowsTheFirstVersionOfControlGroups) {
  write("proc/self/cgroup", "3:cpu:/x\n2:memory:/docker/abc\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "100000\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "150000\n");
  EXPECT_EQ(host_memory(root_).total_bytes, 100000u);
  EXPECT_EQ(host_memory(root_).available_bytes, 0u);
}

TEST_F(HostMemoryTest, SetsNoLimitWhereNothingIsKnown) {
  EXPECT_GT(host_memory(root_ / "nowhere").available_bytes, uint64_t{1} << 60);
}

}  // namespace

}  // namespace engine::cpu
