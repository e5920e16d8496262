//! How a running coordinator or party says how it is.
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
mod flags;
mod metrics;
mod progress;
mod runs;
mod status;
mod status_text;

pub use balance::{BitBalance, LEAST_RECORDS};
pub use board::{Board, BoardConfig};
pub use command::{HealthArguments, StatusArguments, address_of_environment, health, status};
pub use curve::Point;
pub use hashvfl_transport::monitor::{MonitorAddress, Network};
pub use runs::{FinishedRun, add_run, changed_runs, check_runs, read_runs};
pub use status::{
    Budget, Epochs, GradientMonitorStatus, PartyStatus, Phase, PredictionCounts, ReleasedCodes, Spent,
    Status, TrafficBytes, now_s,
};
