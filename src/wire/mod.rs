//! The protocol: generated messages and services, and conversions to the domain's terms; how others
//! are asked over plain HTTP; and what both ends do with a connection.

/// Generated from `proto/escrow/vault/v1`.
pub mod v1 {
    tonic::include_proto!("escrow.vault.v1");
}

pub mod convert;
pub mod http;
pub mod read_ahead;
pub mod timestamp;

/// The compiled protocol, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What both ends ask of HTTP/2 and TLS: as little memory as fills a fast line.
pub mod line {
    /// Bytes of a stream that may be under way or wait to be read. Where they are read more slowly than
    /// they come, that much waits in memory for each: 64 uploads at once come to 128 MiB.
    pub const STREAM_WINDOW_BYTES: u32 = 2 << 20;
    /// The same, all streams of a connection together.
    pub const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
    /// Largest frame: a piece that is handed out, 256 KiB with what gRPC and protobuf put before it, is one.
    /// What is uploaded comes in larger pieces, and is no faster for larger frames.
    pub const FRAME_BYTES_MAX: u32 = (256 << 10) + 64;
    /// Encrypted bytes that may wait for the socket, and that are handed to it at once.
    pub const SEND_BYTES_MAX: usize = 256 << 10;

    const _: () = {
        assert!(FRAME_BYTES_MAX <= STREAM_WINDOW_BYTES);
        assert!(STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES);
    };
}

/// Bounds on messages.
pub mod limit {
    use crate::domain::statement::Statement;

    /// Statements handed in together.
    pub const STATEMENTS_MAX: usize = 8;
    /// Attachments handed in together: one sealed share a member.
    pub const ATTACHMENTS_MAX: usize = 1_024;
    /// One attachment, in bytes.
    pub const ATTACHMENT_BYTES_MAX: usize = 4 * 1024;
    /// The largest bundle that comes with its statement, in bytes; a larger one is uploaded.
    pub const INLINE_BYTES_MAX: usize = 64 * 1024;
    /// One piece of a bundle, in bytes.
    pub const CHUNK_BYTES_MAX: usize = 1 << 20;
    /// One message, in bytes.
    pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
    /// Events in one part of a stream.
    pub const ENTRIES_PER_PART: usize = 256;
    /// Bytes of events in one part of a stream, unless one event alone has more.
    pub const PART_BYTES_MAX: usize = 256 * 1024;
    /// Lost events handed in by one call, in bytes.
    pub const HAND_IN_BYTES_MAX: usize = 64 << 20;
    /// Leaves in one part of the log.
    pub const LEAVES_PER_PART: usize = 4_096;
    /// Agreements in one page.
    pub const AGREEMENTS_PER_PAGE: usize = 1_000;

    const _: () = assert!(STATEMENTS_MAX * Statement::BYTES_MAX < MESSAGE_BYTES_MAX);
    const _: () = assert!(ATTACHMENTS_MAX * ATTACHMENT_BYTES_MAX < MESSAGE_BYTES_MAX);
    const _: () = assert!(CHUNK_BYTES_MAX < MESSAGE_BYTES_MAX);
    const _: () = assert!(INLINE_BYTES_MAX < CHUNK_BYTES_MAX);
}
