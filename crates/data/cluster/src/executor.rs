//! An executor: it asks the scheduler for work and serves results, both over TLS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::executor_resource::Resource;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    ExecutorOperatingSystemSpecification, ExecutorRegistration, ExecutorResource, ExecutorSpecification,
};
use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use ballista_core::utils::create_grpc_client_endpoint;
use ballista_core::{BALLISTA_PROTOCOL_VERSION, ConfigProducer, RuntimeProducer};
use ballista_executor::execution_loop;
use ballista_executor::executor::Executor;
use ballista_executor::flight_service::BallistaFlightService;
use ballista_executor::health::ExecutorHealth;
use ballista_executor::metrics::LoggingMetricsCollector;
use clap::Args;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::scheduler::MESSAGE_BYTES;
use crate::stores::Stores;
use crate::tls::{Files, Tls};

/// What an executor is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Address to listen on; results are fetched there.
    #[arg(long, default_value = "0.0.0.0:50051")]
    listen: SocketAddr,
    /// The host name under which parties and other executors reach it. Its certificate must contain it.
    #[arg(long)]
    host: String,
    /// The scheduler, as HOST:PORT.
    #[arg(long, value_name = "HOST:PORT")]
    scheduler: String,
    /// The number of query parts that run at once.
    #[arg(long, default_value_t = 2)]
    parts: u32,
    /// Most memory of queries, in MiB; beyond it the engine spills to disk where it can.
    #[arg(long, default_value_t = 1024)]
    memory_mib: usize,
    /// Folder for results and for what does not fit into memory, values in the clear; a folder of its own within it is
    /// made and removed at the end.
    #[arg(long, value_name = "FOLDER")]
    work: Option<PathBuf>,
    #[command(flatten)]
    tls: Files,
}

/// Works until it is stopped.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let tls = Tls::read(&arguments.tls)?;
    let work = match &arguments.work {
        Some(folder) => {
            tempfile::tempdir_in(folder).with_context(|| format!("--work {}", folder.display()))?
        }
        None => tempfile::tempdir().context("a folder of temporary files")?,
    };
    let folder = work.path().to_str().context("the work folder's name is not UTF-8")?.to_owned();
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let address = listener.local_addr()?;

    let flight = FlightServiceServer::new(BallistaFlightService::new(folder.clone()))
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let serving = Server::builder().tls_config(tls.server())?.add_service(flight);
    let serving = serving.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));

    let url = format!("https://{}", arguments.scheduler);
    let endpoint = create_grpc_client_endpoint(url, None)?.tls_config(tls.client())?;
    let connection = endpoint.connect().await;
    let connection = connection.with_context(|| {
        format!(
            "cannot connect to the scheduler at {}: is it running, and does it have the same --ca?",
            arguments.scheduler
        )
    })?;
    let scheduler = SchedulerGrpcClient::new(connection)
        .max_encoding_message_size(MESSAGE_BYTES)
        .max_decoding_message_size(MESSAGE_BYTES);
    let executor = Arc::new(Executor::with_default_execution_engine(
        registration(arguments, address),
        &folder,
        runtime(arguments, folder.clone()),
        settings(&tls),
        Arc::default(),
        Arc::new(LoggingMetricsCollector::default()),
        arguments.parts as usize,
    ));
    let codec: BallistaCodec<LogicalPlanNode, PhysicalPlanNode> = BallistaCodec::new(
        Arc::new(BallistaLogicalExtensionCodec::default()),
        Arc::new(BallistaPhysicalExtensionCodec::default()),
    );
    println!("serving results on {address}");
    tokio::select! {
        served = serving => served?,
        worked = execution_loop::poll_loop(scheduler, executor, codec, None, None, ExecutorHealth::new()) => worked?,
    }
    Ok(())
}

fn registration(arguments: &Arguments, address: SocketAddr) -> ExecutorRegistration {
    ExecutorRegistration {
        id: uuid::Uuid::new_v4().to_string(),
        host: Some(arguments.host.clone()),
        port: address.port().into(),
        // It asks for work; nobody pushes it.
        grpc_port: 0,
        specification: Some(ExecutorSpecification {
            resources: vec![ExecutorResource { resource: Some(Resource::Vcores(arguments.parts)) }],
        }),
        // Only shown; the scheduler does not go without it.
        os_info: Some(ExecutorOperatingSystemSpecification::default()),
        ballista_protocol_version: BALLISTA_PROTOCOL_VERSION,
    }
}

/// Each query's memory, its part on disk, and object stores.
fn runtime(arguments: &Arguments, folder: String) -> RuntimeProducer {
    let memory = Arc::new(FairSpillPool::new(arguments.memory_mib << 20));
    let stores = Arc::new(Stores::default());
    Arc::new(move |_| {
        RuntimeEnvBuilder::new()
            .with_temp_file_path(folder.clone())
            .with_memory_pool(memory.clone())
            .with_object_store_registry(stores.clone())
            .build_arc()
    })
}

/// Results of other executors are fetched over TLS.
fn settings(tls: &Tls) -> ConfigProducer {
    let endpoint = tls.endpoint();
    Arc::new(move || {
        SessionConfig::new_with_ballista()
            .with_ballista_use_tls(true)
            .with_ballista_override_create_grpc_client_endpoint(endpoint.clone())
    })
}
