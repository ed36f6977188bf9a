//! What is known of a device before it is used.

/// What the driver says of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The device's name.
    pub name: String,
    /// Compute capability, 87 for 8.7.
    pub capability: u32,
    /// The driver's version, 11040 for 11.4.
    pub driver: u32,
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Shared memory that a block may ask for, in bytes.
    pub shared_bytes: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// The highest clock of the multiprocessors, in kilohertz, where the driver tells it.
    pub clock_khz: Option<u32>,
    /// The highest clock of the memory, in kilohertz, where the driver tells it.
    pub memory_clock_khz: Option<u32>,
    /// Whether device and host use the same memory.
    pub memory: Memory,
}

/// Whose memory the device computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Its own.
    Own,
    /// The host's, as on Jetson.
    Shared,
}
