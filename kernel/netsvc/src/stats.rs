//! Counters of one stack, for people and tests.

/// What a stack did since it started. Plain numbers under the stack's lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says what is counted")]
pub struct Stats {
    pub rx_frames: u64,
    pub rx_bytes: u64,
    pub tx_frames: u64,
    pub tx_bytes: u64,
    /// Frames dropped before any protocol saw them: not ours, truncated, fragments.
    pub rx_dropped: u64,
    /// Frames lost because the device had no room.
    pub tx_dropped: u64,
    pub udp_echoes: u64,
    pub tcp_opened: u64,
    pub tcp_established: u64,
    pub tcp_closed: u64,
    /// SYNs answered by a reset because of the connection limit.
    pub tcp_refused: u64,
    /// SYNs answered by a reset because memory was out.
    pub tcp_no_memory: u64,
    /// SYNs dropped because too many handshakes were open.
    pub tcp_syn_dropped: u64,
    /// Handshakes given up.
    pub tcp_syn_expired: u64,
    /// Connections given up: the peer stopped answering, took too little of what was sent to it, or
    /// did not say goodbye.
    pub tcp_timed_out: u64,
    /// TCP segments that belong to nothing.
    pub tcp_stray: u64,
    pub time_wait_entered: u64,
    pub time_wait_reacked: u64,
    pub time_wait_reused: u64,
}
