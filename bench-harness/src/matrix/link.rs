//! What a transfer takes, by formula. Every figure from here is derived, never measured.

use super::grid::Link;

/// Bytes of a full segment's payload.
const SEGMENT: f64 = 1448.0;
/// Segments in flight at the beginning of a connection (RFC 6928).
const FIRST_WINDOW: f64 = 10.0;
/// Payload over what is on the wire: Ethernet, IPv4, TCP with timestamps; 1448 of 1538 bytes with preamble and gap.
const PAYLOAD_SHARE: f64 = 1448.0 / 1538.0;

/// The formula below, by name. Changed together with it.
pub const FORMULA: &str = "tcp-1";

/// What the formula is, for readers of a report.
pub const FORMULA_TEXT: &str = "a fresh connection takes one round trip for TCP and one for TLS 1.3; then windows of 10, 20, 40 ... segments \
    of 1448 bytes, one round trip each, until a window fills the link; the rest at the link's rate times 1448/1538; half a \
    round trip for the last byte and half for the answer. No loss, no queue.";

/// Seconds until the answer to `bytes` is there, over a connection that must be opened first.
#[must_use]
pub fn transfer_s(link: Link, bytes: u64) -> f64 {
    let rtt = f64::from(link.rtt_ms) / 1e3;
    let rate = f64::from(link.mbit_per_s) * 1e6 / 8.0 * PAYLOAD_SHARE;
    let (mut left, mut window, mut seconds) = (bytes as f64, FIRST_WINDOW * SEGMENT, 2.0 * rtt);
    // A window smaller than what fits into a round trip leaves the link idle until it is acknowledged.
    while window < rate * rtt && left > window {
        left -= window;
        window *= 2.0;
        seconds += rtt;
    }
    seconds + left / rate + rtt
}

#[cfg(test)]
mod tests {
    use super::super::grid::LINKS;
    use super::*;

    /// By hand: 10 Mbit/s and 50 ms hold 58.8 KB in a round trip.
    #[test]
    fn transfers_take_what_a_calculation_by_hand_gives() {
        let rate = 1.25e6 * 1448.0 / 1538.0;
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        // One window is enough.
        close(transfer_s(LINKS[0], 6749), 0.15 + 6749.0 / rate);
        // Two round trips of slow start: 14480 + 28960, then a window of 57920 is still below 58843: a third.
        close(transfer_s(LINKS[0], 1_000_000), 0.15 + 3.0 * 0.05 + (1e6 - 14480.0 * 7.0) / rate);
        // Nothing to send still asks and is answered.
        close(transfer_s(LINKS[2], 0), 0.015);
    }

    #[test]
    fn more_bytes_never_take_less_and_faster_links_never_take_longer() {
        let mut last = 0.0;
        for bytes in (0..2_000_000).step_by(10_007) {
            let now = transfer_s(LINKS[1], bytes);
            assert!(now >= last);
            assert!(transfer_s(LINKS[2], bytes) < now && now < transfer_s(LINKS[0], bytes));
            last = now;
        }
    }
}
