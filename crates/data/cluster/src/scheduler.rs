//! The scheduler: gRPC over TLS, and sessions that know object stores.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::metrics::default_metrics_collector;
use ballista_scheduler::scheduler_server::SchedulerServer;
use clap::Args;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::stores::Stores;
use crate::tls::{Files, Tls};

/// Largest message in either direction.
pub const MESSAGE_BYTES: usize = 16 << 20;

/// What the scheduler is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Address to listen on.
    #[arg(long, default_value = "0.0.0.0:50050")]
    listen: SocketAddr,
    /// The host name under which parties and executors reach it. Its certificate must contain it.
    #[arg(long)]
    host: String,
    /// Seconds without a heartbeat after which an executor counts as gone.
    #[arg(long, default_value_t = 60)]
    executor_timeout_s: u64,
    #[command(flatten)]
    tls: Files,
}

/// Serves until it is stopped.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let tls = Tls::read(&arguments.tls)?;
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let address = listener.local_addr()?;
    let runtime =
        RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(Stores::default())).build_arc()?;
    let config = SchedulerConfig {
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        external_host: arguments.host.clone(),
        executor_timeout_seconds: arguments.executor_timeout_s,
        no_executors_grace_period_seconds: arguments.executor_timeout_s,
        use_tls: true,
        // Executors ask for work: nobody has to reach them but for results.
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        override_create_grpc_client_endpoint: Some(tls.endpoint()),
        override_session_builder: Some(Arc::new(move |config| {
            let builder = SessionStateBuilder::new().with_default_features();
            Ok(builder.with_config(config).with_runtime_env(Arc::clone(&runtime)).build())
        })),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await?;
    let codec = BallistaCodec::new(
        Arc::new(BallistaLogicalExtensionCodec::default()),
        Arc::new(BallistaPhysicalExtensionCodec::default()),
    );
    let mut scheduler: SchedulerServer<LogicalPlanNode, PhysicalPlanNode> = SchedulerServer::new(
        format!("{}:{}", config.external_host, config.bind_port),
        cluster,
        codec,
        Arc::new(config),
        default_metrics_collector()?,
    );
    scheduler.init().await?;
    let service = SchedulerGrpcServer::new(scheduler)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let serving = Server::builder().tls_config(tls.server())?.add_service(service);
    println!("listening on {address}");
    Ok(serving.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))).await?)
}
