//! What several measuring programs share: tables, the first configs of newcomers, parties by these configs, intervals over
//! seeds.

pub mod first_configs;
pub mod observed;
pub mod parties;
pub mod students_t;
pub mod tables;
