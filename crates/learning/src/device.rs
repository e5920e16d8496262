//! Which device computes: wgpu where there is an adapter, burn-flex on the CPU otherwise. Without the feature `wgpu` it is
//! always the CPU.

pub use burn::tensor::Device;
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
pub enum DeviceError {
    /// There is no adapter, or it does not open.
    #[error(
        "device = \"wgpu\" is set, but no adapter can be opened ({reason}): install a Vulkan, Metal or DirectX driver \
         (in software: Debian's mesa-vulkan-drivers), or set device = \"cpu\""
    )]
    NoAdapter {
        /// What the driver said.
        reason: String,
    },
    /// The program was built without the feature `wgpu`.
    #[error(
        "device = \"wgpu\" is set, but this program was built without wgpu: build it with `--features wgpu`, or set \
         device = \"cpu\""
    )]
    NotBuilt,
}

#[derive(Clone)]
struct Adapter {
    opened: Opened,
    software: bool,
}

/// Opens the device of a choice.
///
/// # Errors
/// If wgpu was asked for by name and no adapter can be opened, or the program was built without wgpu.
pub fn open(choice: DeviceChoice) -> Result<Opened, DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu()),
        DeviceChoice::Wgpu => gpu::adapter().map(|adapter| adapter.opened),
        DeviceChoice::Auto => match gpu::adapter() {
            Ok(adapter) if !adapter.software => Ok(adapter.opened),
            Err(DeviceError::NotBuilt) => {
                tracing::info!("device = \"auto\" uses the CPU, because this program was built without wgpu");
                Ok(cpu())
            }
            Ok(_) | Err(DeviceError::NoAdapter { .. }) => Ok(cpu()),
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

/// Opens adapters.
#[cfg(feature = "wgpu")]
mod gpu {
    use std::sync::OnceLock;

    use burn::tensor::wgpu::wgpu::DeviceType;

    use super::{Adapter, Device, DeviceError, Opened};

    /// The process's adapter, opened once: burn registers one runtime per process.
    pub(super) fn adapter() -> Result<Adapter, DeviceError> {
        static ADAPTER: OnceLock<Result<Adapter, DeviceError>> = OnceLock::new();
        ADAPTER.get_or_init(open).clone()
    }

    fn open() -> Result<Adapter, DeviceError> {
        let opened = Device::wgpu_options().init_with_setup();
        let (device, setup) = opened.map_err(|error| DeviceError::NoAdapter { reason: error.to_string() })?;
        let info = setup.adapter.get_info();
        let name = format!("{} ({:?}, {:?})", info.name, info.backend, info.device_type);
        Ok(Adapter { opened: Opened { device, name }, software: info.device_type == DeviceType::Cpu })
    }
}

/// The same without the feature `wgpu`.
#[cfg(not(feature = "wgpu"))]
mod gpu {
    use super::{Adapter, DeviceError};

    pub(super) fn adapter() -> Result<Adapter, DeviceError> {
        Err(DeviceError::NotBuilt)
    }
}
