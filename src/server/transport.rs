//! What one connection may ask of HTTP/2: windows that fill a fast line, limits that keep one
//! peer from taking more than its part.

use std::time::Duration;

use tonic::transport::Server;

use crate::wire::line::{CONNECTION_WINDOW_BYTES, FRAME_BYTES_MAX, STREAM_WINDOW_BYTES};

/// All headers of one call together, decoded.
pub const HEADERS_BYTES_MAX: u32 = 8 * 1024;
/// Calls a connection may have open. Handlers work on all of them: what waits unread would wait
/// with a full window.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// Streams a peer may open and reset before it is taken for an attacker (CVE-2023-44487).
pub const RESETS_PENDING_MAX: usize = 20;
/// Streams we had to reset for a peer's errors before it is taken for an attacker.
pub const RESETS_LOCAL_MAX: usize = 256;
/// How long a connection may be silent before the peer is asked whether it is there.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long it may take to answer that.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Sets every limit above, and those that both ends share. Connections are not ended for their age: an upload may take hours.
pub fn configure<L>(server: Server<L>) -> Server<L> {
    server
        .accept_http1(false)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .http2_max_pending_accept_reset_streams(Some(RESETS_PENDING_MAX))
        .http2_max_local_error_reset_streams(Some(RESETS_LOCAL_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}
