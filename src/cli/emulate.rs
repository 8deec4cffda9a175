//! `countersign emulate`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use tracing::level_filters::LevelFilter;

use super::{asked_to_stop, log_to_stderr, say};
use crate::app::Environment;
use crate::app::emulate::{self, EmulateSettings, Fault, Vendor};
use crate::telemetry::Format;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The vendor to emulate: okta, entra, google, keycloak, adfs or ping.
    vendor: Vendor,
    /// The address and port on which it listens.
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// The file with its users and clients.
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
    /// A fault to simulate. You can give several.
    #[arg(long = "fault", value_name = "NAME", value_parser = faults())]
    faults: Vec<Fault>,
    /// The folder with its certificate. If there is none, the command creates one.
    #[arg(long, value_name = "DIR", default_value = "data/emulator")]
    certs: PathBuf,
}

/// The names of the faults, each with its sentence in `--help`.
fn faults() -> impl TypedValueParser<Value = Fault> {
    let names = Fault::ALL.iter().map(|fault| PossibleValue::new(fault.as_str()).help(fault.sentence()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Fault>())
}

pub(super) async fn run(arguments: Arguments) -> Result<()> {
    log_to_stderr(Format::Text, LevelFilter::WARN);
    let settings = EmulateSettings {
        vendor: arguments.vendor,
        listen: arguments.listen,
        users: arguments.users,
        certs: arguments.certs,
        faults: arguments.faults,
    };
    Ok(emulate::run(&settings, &Environment::of_this_machine(), asked_to_stop(), &mut |line: &str| say(line))
        .await?)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        let given = ["emulate", "okta", "--users", "users.toml"].iter().chain(arguments);
        Arguments::augment_args(Command::new("emulate"))
            .try_get_matches_from(given)
            .and_then(|matches| Arguments::from_arg_matches(&matches))
    }

    #[test]
    fn help_names_every_fault_with_a_sentence() {
        let help = Arguments::augment_args(Command::new("emulate")).render_long_help().to_string();
        for fault in Fault::ALL {
            let line = format!("- {fault}:");
            let sentence = help.lines().find(|known| known.trim_start().starts_with(&line));
            assert!(sentence.is_some_and(|text| text.contains(fault.sentence())), "{fault}\n{help}");
        }
    }

    #[test]
    fn several_faults_may_be_given_and_no_unknown_one() {
        assert_eq!(parse(&[]).unwrap().faults, []);
        let given = parse(&["--fault", "slow", "--fault", "rotated-keys"]).unwrap();
        assert_eq!(given.faults, [Fault::Slow, Fault::RotatedKeys]);
        assert!(parse(&["--fault", "late"]).unwrap_err().to_string().contains("rotated-keys"));
    }
}
