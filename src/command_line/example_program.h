// A small program whose command line the tests of this folder look at.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace berth {

struct ExampleProgram {
  ExampleProgram() {
    app.add_option("--socket", text, "where it listens")
        ->envname("EXAMPLE_SOCKET")
        ->default_str("/run/x.sock")
        ->type_name("PATH");
    CLI::App* show = app.add_subcommand("show", "show things");
    show->add_option("THING", texts, "by name")->required();
    show->add_flag("-a,--all", flag, "also what's gone");
    show->add_option("-o,--output", text, "how to print")
        ->check(CLI::IsMember({"table", "json"}))
        ->type_name("FORMAT");
    show->footer(".shown first\nand then");
    CLI::App* tag = app.add_subcommand("tag", "change tags");
    tag->add_subcommand("add", "add a tag")->add_option("NAME", text, "of it");
    app.add_subcommand("secret", "for itself")->group("");
  }

  CLI::App app{"An example.", "example"};
  std::string text;
  std::vector<std::string> texts;
  bool flag = false;
};

}  // namespace berth
