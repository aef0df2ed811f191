//! The `ltcgw` command: parses the command line and runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    ltcgw::cli::main()
}
