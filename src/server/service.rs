//! All services of a vault as routes, with health and reflection.

use std::sync::Arc;

use tonic::service::Routes;

use crate::domain::statement::Statement;
use crate::server::bundles::Bundles;
use crate::server::credentials::Credentials;
use crate::server::identities::Identities;
use crate::server::logs::Logs;
use crate::server::recoveries::Recoveries;
use crate::server::shares::Shares;
use crate::server::statements::Statements;
use crate::server::streams::Streams;
use crate::server::timestamps::{SharedTimestamper, Timestamps};
use crate::store::{Blob, Store};
use crate::vault::Vault;
use crate::wire::DESCRIPTORS;
use crate::wire::limit::{CHUNK_BYTES_MAX, INLINE_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::wire::v1::bundle_service_server::BundleServiceServer;
use crate::wire::v1::identity_service_server::IdentityServiceServer;
use crate::wire::v1::log_service_server::LogServiceServer;
use crate::wire::v1::recovery_service_server::RecoveryServiceServer;
use crate::wire::v1::share_service_server::ShareServiceServer;
use crate::wire::v1::statement_service_server::StatementServiceServer;
use crate::wire::v1::stream_service_server::StreamServiceServer;
use crate::wire::v1::timestamp_service_server::TimestampServiceServer;

/// Largest message from whoever has no certificate yet, in bytes.
const STRANGER_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Largest part of an upload, in bytes: a piece that is too large is still told so.
const UPLOAD_MESSAGE_BYTES_MAX: usize = 2 * CHUNK_BYTES_MAX;

const _: () = assert!(INLINE_BYTES_MAX == Blob::BYTES_MAX);
const _: () = assert!(INLINE_BYTES_MAX + Statement::BYTES_MAX < UPLOAD_MESSAGE_BYTES_MAX);

/// Every service of the vault.
pub fn routes<S: Store>(
    vault: &Arc<Vault<S>>,
    credentials: &Arc<Credentials>,
    timestamper: &SharedTimestamper,
) -> Result<Routes, tonic_reflection::server::Error> {
    let identities = Identities { vault: Arc::clone(vault), credentials: Arc::clone(credentials) };
    let identities = IdentityServiceServer::new(identities)
        .max_decoding_message_size(STRANGER_MESSAGE_BYTES_MAX);
    let statements = StatementServiceServer::new(Statements(Arc::clone(vault)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    let streams = StreamServiceServer::new(Streams(Arc::clone(vault)))
        .max_decoding_message_size(STRANGER_MESSAGE_BYTES_MAX);
    let shares = ShareServiceServer::new(Shares(Arc::clone(vault)))
        .max_decoding_message_size(STRANGER_MESSAGE_BYTES_MAX);
    let bundles = BundleServiceServer::new(Bundles(Arc::clone(vault)))
        .max_decoding_message_size(UPLOAD_MESSAGE_BYTES_MAX);
    let recoveries = RecoveryServiceServer::new(Recoveries::new(Arc::clone(vault)))
        .max_decoding_message_size(UPLOAD_MESSAGE_BYTES_MAX);
    let logs = LogServiceServer::new(Logs(Arc::clone(vault)))
        .max_decoding_message_size(STRANGER_MESSAGE_BYTES_MAX);
    let timestamper = Arc::clone(timestamper);
    let timestamps = Timestamps { vault: Arc::clone(vault), timestamper };
    let timestamps = TimestampServiceServer::new(timestamps)
        .max_decoding_message_size(STRANGER_MESSAGE_BYTES_MAX);
    let (_, health) = tonic_health::server::health_reporter();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(Routes::new(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(identities)
        .add_service(statements)
        .add_service(streams)
        .add_service(shares)
        .add_service(bundles)
        .add_service(recoveries)
        .add_service(logs)
        .add_service(timestamps))
}
