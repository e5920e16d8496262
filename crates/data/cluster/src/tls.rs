//! One certificate for both directions, and the authority of all others.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use ballista_core::extension::EndpointOverrideFn;
use clap::Args;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

/// PEM files.
#[derive(Debug, Args)]
pub struct Files {
    /// The certificate authority. Peers without a certificate signed by it are rejected.
    #[arg(long, value_name = "PEM")]
    ca: PathBuf,
    /// This program's certificate, for its host name, usable as a server's and as a client's.
    #[arg(long, value_name = "PEM")]
    certificate: PathBuf,
    /// Its private key.
    #[arg(long, value_name = "PEM")]
    key: PathBuf,
}

/// The files, read.
#[derive(Clone)]
pub struct Tls {
    ca: Certificate,
    identity: Identity,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn read(files: &Files) -> anyhow::Result<Self> {
        let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let ca = Certificate::from_pem(read(&files.ca)?);
        let identity = Identity::from_pem(read(&files.certificate)?, read(&files.key)?);
        Ok(Self { ca, identity })
    }

    /// For those that dial in: they have to show a certificate.
    pub fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new().identity(self.identity.clone()).client_ca_root(self.ca.clone())
    }

    /// For dialling out.
    pub fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(self.ca.clone()).identity(self.identity.clone())
    }

    /// The same as Ballista's hook.
    pub fn endpoint(&self) -> EndpointOverrideFn {
        let client = self.client();
        Arc::new(move |endpoint| Ok(endpoint.tls_config(client.clone())?))
    }
}
