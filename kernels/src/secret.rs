//! A value that must not outlive its use or reach a log.

use core::fmt;
use zeroize::Zeroize;

/// Owns a secret: overwritten with zeros when dropped, never printed, never copied by accident.
///
/// The value lives on the heap, so moving a `Secret` moves a pointer and leaves no copy behind.
pub struct Secret<T: Zeroize>(Box<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes charge of `value`. The caller's own copies, if any, are the caller's to erase.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Box::new(value))
    }

    /// The value, to compute with.
    #[must_use]
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// The value, to fill in.
    #[must_use]
    pub fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Watched(Arc<AtomicU32>);

    impl Zeroize for Watched {
        fn zeroize(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_secret_is_erased_exactly_once_and_never_printed() {
        let erased = Arc::new(AtomicU32::new(0));
        let secret = Secret::new(Watched(erased.clone()));
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(erased.load(Ordering::Relaxed), 0);
        drop(secret);
        assert_eq!(erased.load(Ordering::Relaxed), 1);
    }
}
