//! Object stores, opened when a query first names them, by the environment's settings: as in the party itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use object_store::ObjectStore;
use url::Url;

/// Environment variables that object stores are configured by.
const VARIABLES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// All stores of a process.
#[derive(Debug, Default)]
pub struct Stores {
    files: DefaultObjectStoreRegistry,
    opened: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.files.register_store(url, store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if let Ok(store) = self.files.get_store(url) {
            return Ok(store);
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let authority = &url[url::Position::BeforeScheme..url::Position::AfterPort];
        if let Some(store) = opened.get(authority) {
            return Ok(Arc::clone(store));
        }
        let settings = std::env::vars().filter(|(key, _)| VARIABLES.iter().any(|own| key.starts_with(own)));
        let (store, _) = object_store::parse_url_opts(url, settings)
            .map_err(|error| DataFusionError::ObjectStore(Box::new(error)))?;
        let store: Arc<dyn ObjectStore> = Arc::from(store);
        opened.insert(authority.to_owned(), Arc::clone(&store));
        Ok(store)
    }
}
