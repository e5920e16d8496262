//! Status reporting of a running coordinator or party.
//!
//! ```text
//!  training, serving --> Board (one Status, curves) --> Monitor: a page, /status, /metrics, gRPC's health check
//!  audit trail, finished runs, certificate (files) ------^ ^
//!                          `status`, `health` -------------'   browsers, Prometheus, Kubernetes, a container engine
//! ```
//!
//! There is one [`Status`], and all that is shown of the present comes from it. It holds counts, times, and what a summary says
//! anyway: no value, code, label, id or key.

mod balance;
mod board;
mod command;
mod curve;
mod first_config;
mod flags;
mod metrics;
mod progress;
mod refusals;
mod runs;
mod status;
mod status_text;

pub use balance::{BitBalance, LEAST_RECORDS};
pub use board::{Board, BoardConfig};
pub use command::{HealthArguments, StatusArguments, address_of_environment, health, status};
pub use curve::Point;
pub use first_config::first_monitor;
pub use hashvfl_transport::monitor::{AddressRange, MonitorAddress};
pub use refusals::REFUSALS;
pub use runs::{FinishedRun, add_run, changed_runs, check_runs, is_listed, read_runs};
pub use status::{
    Budget, Epochs, GradientMonitorStatus, PartyStatus, PredictionCounts, ProcessPhase, ReleasedCodes,
    RunTotals, Spent, Status, TrafficBytes, now_s,
};
