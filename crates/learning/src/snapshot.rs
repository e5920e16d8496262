//! Named arrays: how models, statistics and optimiser moments become a safetensors file and come back.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use hashvfl_core::Digest;
use hashvfl_files::{WriteError, read_whole, write_whole};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

/// The text entry of a file that holds the digest of all else in it.
const DIGEST_KEY: &str = "content_sha256";

/// One array.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Array {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

/// Why a snapshot cannot be written, read or applied.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The file is no snapshot.
    #[error("{path} is damaged or not a model file ({reason}): restore it from a backup, or train again")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file carries no digest.
    #[error(
        "{path} has no digest of its content: an earlier version wrote it, or it is damaged; restore it from a \
         backup, or train again"
    )]
    Unverifiable {
        /// The file.
        path: PathBuf,
    },
    /// An array is absent.
    #[error("the model file lacks {0}: it was written for another model")]
    Missing(String),
    /// An array has another shape.
    #[error("{name} has shape {found:?} in the model file, the configured model needs {expected:?}")]
    Shape {
        /// The array.
        name: String,
        /// What the model needs.
        expected: Vec<usize>,
        /// What the file holds.
        found: Vec<usize>,
    },
}

/// Named arrays and text beside them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The arrays.
    pub arrays: BTreeMap<String, Array>,
    /// Text beside them (counters, versions).
    pub text: BTreeMap<String, String>,
}

impl Snapshot {
    /// Adds every float parameter of `module` under `prefix`.
    pub fn put_module<M: Module>(&mut self, prefix: &str, module: &M) {
        let mut collector = Collector { path: vec![prefix.to_string()], arrays: &mut self.arrays };
        module.visit(&mut collector);
    }

    /// Adds a vector.
    pub fn put(&mut self, name: &str, values: Vec<f32>) {
        self.arrays.insert(name.to_string(), Array { shape: vec![values.len()], values });
    }

    /// A vector of `len` values.
    pub fn get(&self, name: &str, len: usize) -> Result<&[f32], SnapshotError> {
        let array = self.arrays.get(name).ok_or_else(|| SnapshotError::Missing(name.to_string()))?;
        check_shape(name, &[len], &array.shape)?;
        Ok(&array.values)
    }

    /// Text as a number.
    pub fn number(&self, name: &str) -> Result<u64, SnapshotError> {
        let text = self.text.get(name).and_then(|text| text.parse().ok());
        text.ok_or_else(|| SnapshotError::Missing(name.to_string()))
    }

    /// Gives `module` the parameters under `prefix`.
    pub fn load_module<M: Module>(&self, prefix: &str, module: M) -> Result<M, SnapshotError> {
        let mut loader = Loader { path: vec![prefix.to_string()], arrays: &self.arrays, error: None };
        let module = module.map(&mut loader);
        loader.error.map_or(Ok(module), Err)
    }

    /// Digest over the names, shapes and values of the arrays whose name starts with one of `prefixes`.
    pub fn digest(&self, prefixes: &[&str]) -> Digest {
        let chosen = self.arrays.iter().filter(|(name, _)| prefixes.iter().any(|p| name.starts_with(p)));
        let parts: Vec<Vec<u8>> = chosen
            .flat_map(|(name, array)| {
                let shape = array.shape.iter().flat_map(|n| (*n as u64).to_le_bytes()).collect();
                let values = array.values.iter().flat_map(|v| v.to_le_bytes()).collect();
                [name.as_bytes().to_vec(), shape, values]
            })
            .collect();
        Digest::of_parts(parts.iter().map(Vec::as_slice))
    }

    /// Digest over everything: arrays and text.
    fn content_digest(&self) -> Digest {
        let arrays = self.digest(&[""]);
        let text = self.text.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]);
        Digest::of_parts([arrays.0.as_slice()].into_iter().chain(text))
    }

    /// Writes a safetensors file with a digest of its content, whole or not at all, readable only by its owner.
    pub fn write(&self, path: &Path) -> Result<(), SnapshotError> {
        let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = self
            .arrays
            .iter()
            .map(|(name, array)| {
                (name, &array.shape, array.values.iter().flat_map(|v| v.to_le_bytes()).collect())
            })
            .collect();
        let format = |reason: String| SnapshotError::Format { path: path.to_path_buf(), reason };
        let views = bytes
            .iter()
            .map(|(name, shape, bytes)| {
                Ok((name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), bytes)?))
            })
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|error| format(error.to_string()))?;
        let mut text: HashMap<String, String> = self.text.clone().into_iter().collect();
        text.insert(DIGEST_KEY.into(), self.content_digest().to_string());
        let file = serialize(views, Some(text)).map_err(|error| format(error.to_string()))?;
        Ok(write_whole(path, &file)?)
    }

    /// Reads a safetensors file that [`Self::write`] wrote.
    ///
    /// # Errors
    /// If it cannot be read, or holds anything else than what was written.
    pub fn read(path: &Path) -> Result<Self, SnapshotError> {
        let bytes =
            read_whole(path).map_err(|reason| SnapshotError::Read { path: path.to_path_buf(), reason })?;
        let format = |reason: String| SnapshotError::Format { path: path.to_path_buf(), reason };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| format(error.to_string()))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| format(error.to_string()))?;
        let mut arrays = BTreeMap::new();
        for (name, view) in tensors.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(format(format!("{name} is not f32")));
            }
            let values =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            arrays.insert(name.to_string(), Array { shape: view.shape().to_vec(), values });
        }
        let mut text: BTreeMap<_, _> = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
        let digest = text
            .remove(DIGEST_KEY)
            .ok_or_else(|| SnapshotError::Unverifiable { path: path.to_path_buf() })?;
        let snapshot = Self { arrays, text };
        if snapshot.content_digest().to_string() != digest {
            return Err(format("its content does not match its digest".into()));
        }
        Ok(snapshot)
    }
}

fn check_shape(name: &str, expected: &[usize], found: &[usize]) -> Result<(), SnapshotError> {
    if expected == found {
        return Ok(());
    }
    Err(SnapshotError::Shape { name: name.to_string(), expected: expected.to_vec(), found: found.to_vec() })
}

/// A tensor's values on the host.
pub fn to_host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // Unwrap safety: every tensor of this crate is f32.
    tensor.into_data().try_into_vec::<f32>().expect("f32 tensor")
}

struct Collector<'a> {
    path: Vec<String>,
    arrays: &'a mut BTreeMap<String, Array>,
}

impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val().inner();
        let shape = tensor.dims().to_vec();
        self.arrays.insert(self.path.join("."), Array { shape, values: to_host(tensor) });
    }
}

struct Loader<'a> {
    path: Vec<String>,
    arrays: &'a BTreeMap<String, Array>,
    error: Option<SnapshotError>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        let (id, tensor, mapper) = param.consume();
        let expected = tensor.dims().to_vec();
        let loaded = match self.arrays.get(&name) {
            Some(array) => check_shape(&name, &expected, &array.shape).map(|()| {
                let data = TensorData::new(array.values.clone(), array.shape.clone());
                let loaded = Tensor::<D>::from_data(data, &tensor.device());
                if tensor.is_require_grad() { loaded.require_grad() } else { loaded }
            }),
            None => Err(SnapshotError::Missing(name)),
        };
        let tensor = loaded.unwrap_or_else(|error| {
            self.error.get_or_insert(error);
            tensor
        });
        Param::from_mapped_value(id, tensor, mapper)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_round_trips_and_damage_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut snapshot = Snapshot::default();
        snapshot.put("mean", vec![1.0, -2.5]);
        snapshot.text.insert("updates".into(), "7".into());
        snapshot.write(&path).unwrap();
        let back = Snapshot::read(&path).unwrap();
        assert_eq!(back, snapshot);
        assert_eq!(back.number("updates").unwrap(), 7);
        assert_eq!(back.digest(&["mean"]), snapshot.digest(&["mean"]));
        assert!(matches!(back.get("mean", 3), Err(SnapshotError::Shape { .. })));
        assert!(matches!(back.get("scale", 2), Err(SnapshotError::Missing(_))));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        assert!(matches!(Snapshot::read(&path), Err(SnapshotError::Format { .. })));
    }
    #[test]
    fn each_part_of_the_content_is_in_the_digest() {
        let mut snapshot = Snapshot::default();
        snapshot.put("mean", vec![1.0, 0.0]);
        snapshot.text.insert("updates".into(), "7".into());
        let digest = snapshot.content_digest();
        let other = |change: &dyn Fn(&mut Snapshot)| {
            let mut changed = snapshot.clone();
            change(&mut changed);
            assert_ne!(changed.content_digest(), digest, "{changed:?}");
        };
        other(&|s| s.arrays.get_mut("mean").unwrap().values[1] = -0.0);
        other(&|s| s.arrays.get_mut("mean").unwrap().shape = vec![2, 1]);
        other(&|s| s.put("more", Vec::new()));
        other(&|s| {
            let array = s.arrays.remove("mean").unwrap();
            s.arrays.insert("meam".into(), array);
        });
        other(&|s| drop(s.text.insert("updates".into(), "6".into())));
        other(&|s| drop(s.text.insert("more".into(), String::new())));
        other(&|s| s.text.clear());
    }

    #[test]
    fn a_file_without_a_digest_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let values: Vec<u8> = [1.0_f32, -2.5].into_iter().flat_map(f32::to_le_bytes).collect();
        let mean = TensorView::new(Dtype::F32, vec![2], &values).unwrap();
        let text = HashMap::from([("updates".to_string(), "7".to_string())]);
        fs::write(&path, serialize([("mean", mean)], Some(text)).unwrap()).unwrap();
        let error = Snapshot::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("model.safetensors has no digest") && error.contains("train again"),
            "{error}"
        );
    }
}
