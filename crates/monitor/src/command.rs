//! The subcommands `status` and `health`: a running process on this machine is asked.

use anyhow::{Context, ensure};
use clap::Args;
use hashvfl_files::say;
use hashvfl_transport::monitor::{MonitorAddress, PREDICTIONS, ask_health, ask_page};
use tokio::runtime::{Builder, Runtime};

use crate::status::Status;

/// The variable that names where a process is asked for its health without a config: the check of a container's image
/// knows none.
const ADDRESS_VARIABLE: &str = "HASHVFL_MONITOR";

/// What to show of a running process.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Print everything as one JSON object.
    #[arg(long)]
    json: bool,
    /// Print the metrics in Prometheus's text format.
    #[arg(long, conflicts_with = "json")]
    metrics: bool,
}

/// What to ask a running process.
#[derive(Debug, Args)]
pub struct HealthArguments {
    /// Ask whether predictions are answered, not only whether the process is up.
    #[arg(long)]
    predictions: bool,
}

/// Shows the status of the process whose config names the monitor `address`.
///
/// # Errors
/// If it does not answer.
pub fn status(address: Option<&MonitorAddress>, arguments: &StatusArguments) -> anyhow::Result<()> {
    let path = if arguments.metrics { "/metrics" } else { "/status" };
    let page = runtime()?.block_on(ask_page(named(address)?, path))?;
    if arguments.json || arguments.metrics {
        say!("{}", page.trim_end());
        return Ok(());
    }
    let status: Status = serde_json::from_str(&page).context("the answer is of another version")?;
    say!("{}", status.to_string().trim_end());
    Ok(())
}

/// Asks the process whose config names the monitor `address` for its health, by gRPC's health check.
///
/// # Errors
/// If it does not answer, or is not well.
pub fn health(address: Option<&MonitorAddress>, arguments: &HealthArguments) -> anyhow::Result<()> {
    let service = if arguments.predictions { PREDICTIONS } else { "" };
    let well = runtime()?.block_on(ask_health(named(address)?, service))?;
    ensure!(well, "running, but not answering predictions yet: `status` shows what the process is doing");
    say!("well");
    Ok(())
}

/// Where the variable `HASHVFL_MONITOR` says that a process is asked for its health.
///
/// # Errors
/// If there is no such variable, or no address in it.
pub fn address_of_environment() -> anyhow::Result<MonitorAddress> {
    let text = std::env::var(ADDRESS_VARIABLE).ok().with_context(|| {
        format!(
            "no process was named: pass --config FILE, or set the environment variable {ADDRESS_VARIABLE} to the \
             process's `monitor` address"
        )
    })?;
    text.parse().with_context(|| format!("the variable {ADDRESS_VARIABLE}"))
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

fn named(address: Option<&MonitorAddress>) -> anyhow::Result<&MonitorAddress> {
    address.context(
        "the config has no `monitor`, so the process cannot be asked: add monitor = \"unix:monitor.sock\"",
    )
}
