#include "src/cli/commands.h"

#include <array>

#include "src/cli/failure.h"

namespace berth::cli {
namespace {

constexpr char kRunning[] = "Pods and containers";
constexpr char kLooking[] = "Looking inside";
constexpr char kImaging[] = "Images";
constexpr char kNode[] = "The node";
constexpr char kHidden[] = "";

constexpr std::array kCommands = {
    CommandEntry{"run", kRunning, "run a command from an image in a pod of its own", MakeRun, true,
                 kExitRefused},
    CommandEntry{"ps", kRunning, "list containers", MakePs},
    CommandEntry{"pods", kRunning, "list pods", MakePods},
    CommandEntry{"stop", kRunning, "stop containers and pods", MakeStop},
    CommandEntry{"rm", kRunning, "remove containers and pods", MakeRm},
    CommandEntry{"logs", kLooking, "show what a container wrote", MakeLogs},
    CommandEntry{"exec", kLooking, "run a command in a running container", MakeExec, true,
                 kExitRefused},
    CommandEntry{"attach", kLooking, "see and type into a container's first process", MakeAttach},
    CommandEntry{"port-forward", kLooking, "carry connections of this machine to a pod",
                 MakePortForward},
    CommandEntry{"cp", kLooking, "copy files out of a container or into it", MakeCp},
    CommandEntry{"stats", kLooking, "show CPU, memory and disk use of containers", MakeStats},
    CommandEntry{"top", kLooking, "show live what pods and containers use", MakeTop},
    CommandEntry{"why", kLooking, "tell what was done with a pod and why it failed", MakeWhy},
    CommandEntry{"events", kLooking, "show what happened and happens", MakeEvents},
    CommandEntry{"inspect", kLooking, "show all about a container or pod as JSON", MakeInspect},
    CommandEntry{"pull", kImaging, "download an image", MakePull},
    CommandEntry{"images", kImaging, "list images", MakeImages},
    CommandEntry{"rmi", kImaging, "remove images", MakeRmi},
    CommandEntry{"image", kImaging, "look into images, tag, verify and collect garbage", MakeImage},
    CommandEntry{"doctor", kNode, "look for what is wrong with this node", MakeDoctor},
    CommandEntry{"info", kNode, "show the daemon's state and features", MakeInfo},
    CommandEntry{"version", kNode, "show the versions of berth and berthd", MakeVersion},
    CommandEntry{"completion", kNode, "print what completes berth's words in a shell",
                 MakeCompletion, true},
    CommandEntry{"man", kHidden, "print the manual page, in roff", MakeMan},
};

}  // namespace

absl::Span<const CommandEntry> Commands() { return kCommands; }

}  // namespace berth::cli
