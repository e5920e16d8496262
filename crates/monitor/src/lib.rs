//! How a running coordinator or party says how it is.
//!
//! ```text
//!  training, serving --> Board (one Status) --> Monitor: a page, /status, /metrics, gRPC's health check
//!                                                  ^
//!                          `status`, `health` -----'   browsers, Prometheus, Kubernetes, a container engine
//! ```
//!
//! There is one [`Status`], and all that is shown comes from it. It holds counts, times and what a summary says anyway: no
//! value, code, label, id or key.

mod board;
mod command;
mod curve;
mod metrics;
mod progress;
mod status;

pub use board::Board;
pub use command::{HealthArguments, StatusArguments, health, status};
pub use curve::Point;
pub use hashvfl_transport::monitor::MonitorAddress;
pub use status::{Epochs, PartyStatus, Phase, PredictionCounts, ReleasedCodes, Status, TrafficBytes};
