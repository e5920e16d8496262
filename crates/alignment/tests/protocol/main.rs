//! Whole alignments over a relay in this process: honest, curious, malicious, and killed.

mod comparer;
mod fixture;
mod honest;
mod malicious;
mod resumed;
mod rot;
