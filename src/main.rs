//! The program: arguments in, exit code out. 0 is success, 1 failure, 2 a wrong command line.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use countersign::cli::{Arguments, run};

/// The error with its causes. A cause that the error itself already contains is not repeated.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| {
        if said.is_empty() {
            cause
        } else if said.contains(&cause) {
            said
        } else {
            format!("{said}: {cause}")
        }
    })
}

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
            let _ = writeln!(std::io::stderr(), "countersign: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}
