//! Which device computes: wgpu where there is an adapter, burn-flex on the CPU otherwise.

use std::sync::OnceLock;

pub use burn::tensor::Device;
use burn::tensor::wgpu::wgpu::DeviceType;
use serde::{Deserialize, Serialize};

/// The `device` setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// wgpu on a hardware adapter if there is one, the CPU otherwise.
    #[default]
    Auto,
    /// The CPU, through burn-flex.
    Cpu,
    /// wgpu on whatever adapter there is, a software one included; an error where there is none.
    Wgpu,
}

/// A device that computes.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The device.
    pub device: Device,
    /// What to call it in a log: the adapter and its API, or the CPU.
    pub name: String,
}

/// A device that was asked for and cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "device = \"wgpu\" was asked for, but no adapter can be opened ({reason}): install a Vulkan, Metal or DirectX driver (software: Debian's mesa-vulkan-drivers), or set device = \"cpu\""
)]
pub struct DeviceError {
    reason: String,
}

#[derive(Clone)]
struct Adapter {
    opened: Opened,
    software: bool,
}

/// Opens the device of a choice.
///
/// # Errors
/// If wgpu was asked for by name and no adapter can be opened.
pub fn open(choice: DeviceChoice) -> Result<Opened, DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu()),
        DeviceChoice::Wgpu => adapter().map(|adapter| adapter.opened),
        DeviceChoice::Auto => match adapter() {
            Ok(adapter) if !adapter.software => Ok(adapter.opened),
            Ok(_) | Err(_) => Ok(cpu()),
        },
    }
}

/// Whether a device, without autodiff, is the CPU: its tensors then come to the host and go back without a copy.
pub fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

fn cpu() -> Opened {
    Opened { device: Device::flex(), name: "CPU (burn-flex)".to_string() }
}

/// The process's adapter, opened once: burn registers one runtime a process.
fn adapter() -> Result<Adapter, DeviceError> {
    static ADAPTER: OnceLock<Result<Adapter, DeviceError>> = OnceLock::new();
    let open = || {
        let opened = Device::wgpu_options().init_with_setup();
        let (device, setup) = opened.map_err(|error| DeviceError { reason: error.to_string() })?;
        let info = setup.adapter.get_info();
        let name = format!("{} ({:?}, {:?})", info.name, info.backend, info.device_type);
        Ok(Adapter { opened: Opened { device, name }, software: info.device_type == DeviceType::Cpu })
    };
    ADAPTER.get_or_init(open).clone()
}
