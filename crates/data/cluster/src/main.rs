//! A Ballista scheduler or executor that speaks only TLS, and only with those that hold a certificate of the same
//! authority. Ballista's own programs have no setting for that, only hooks, which this program uses.
//!
//! ```text
//! party --features cluster --query--> scheduler <--work-- executor (any number)
//!       `----------------------result----------------------'
//! ```
//!
//! `RUST_LOG` sets what is logged. Both belong inside the party's own trust boundary: executors read its tables.

mod executor;
mod scheduler;
mod stores;
mod tls;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Scheduler and executors of a party's own Ballista cluster, over mutual TLS.
#[derive(Debug, Parser)]
#[command(name = "hashvfl-cluster", version)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Accept queries from parties and distribute their parts to executors.
    Scheduler(scheduler::Arguments),
    /// Execute parts of queries for a scheduler, and serve their results.
    Executor(executor::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let role = Arguments::parse().role;
    // Ballista says here, on standard error, why a query failed.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let work = async {
        match role {
            Role::Scheduler(arguments) => scheduler::run(&arguments).await,
            Role::Executor(arguments) => executor::run(&arguments).await,
        }
    };
    let ended = tokio::select! {
        ended = work => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
