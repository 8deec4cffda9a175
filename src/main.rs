//! The program: arguments in, exit code out. 0 is success, 1 failure, 2 a wrong command line.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use countersign::cli::{Arguments, run};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "countersign: {error:#}");
            ExitCode::FAILURE
        }
    }
}
