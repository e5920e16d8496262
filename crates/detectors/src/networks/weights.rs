//! A network in a file: its weights.

use hashvfl_learning::Network;
use hashvfl_learning::network::Weights;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// For serde.
pub fn serialize<S: Serializer>(network: &Network, serializer: S) -> Result<S::Ok, S::Error> {
    network.weights().serialize(serializer)
}

/// For serde.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Network, D::Error> {
    Network::of_weights(Weights::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}
