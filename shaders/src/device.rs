//! Finding a device: every adapter with the reason why it was taken or left, and opening the chosen one.

use core::fmt;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use kernels::Fault;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use wgpu::{Adapter, Backends, DeviceType, Features, InstanceDescriptor, InstanceFlags, Limits};

/// Which adapter to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// Discrete before integrated before software; among equals the first that is listed.
    Best,
    /// The first whose name contains this, small and capital letters alike.
    Named(&'a str),
}

impl Choice<'_> {
    fn admits(self, found: &Found) -> bool {
        match self {
            Self::Best => true,
            Self::Named(name) => found.name.to_lowercase().contains(&name.to_lowercase()),
        }
    }
}

/// What an adapter is made of, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU lent by a hypervisor.
    Virtual,
    /// The driver does not say.
    Unknown,
    /// No GPU: a program on the processor.
    Software,
}

/// An adapter that was seen.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name for itself.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// `vulkan`, `metal` or `dx12`.
    pub api: &'static str,
    /// The driver and its version.
    pub driver: String,
    /// Whether it is the one that is taken.
    pub taken: bool,
    /// Why it is taken or left.
    pub reason: String,
}

/// Why there is no engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// No driver, or a driver without devices.
    NoAdapter,
    /// No adapter has this in its name.
    NoneNamed(String),
    /// Adapters exist, but none can do what the shaders need.
    Unfit(String),
    /// The driver refused to open the adapter.
    Refused(String),
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAdapter => f.write_str(
                "no Vulkan, Metal or DX12 device: install a driver (software: Debian's mesa-vulkan-drivers)",
            ),
            Self::NoneNamed(name) => write!(f, "no adapter has `{name}` in its name; `tensorguard doctor` lists them"),
            Self::Unfit(why) => write!(f, "no adapter fits: {why}"),
            Self::Refused(why) => write!(f, "the driver does not open the adapter: {why}"),
        }
    }
}

impl core::error::Error for Absent {}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discrete => "discrete GPU",
            Self::Integrated => "integrated GPU",
            Self::Virtual => "virtual GPU",
            Self::Unknown => "unknown kind",
            Self::Software => "software",
        })
    }
}

impl Kind {
    fn of(device: DeviceType) -> Self {
        match device {
            DeviceType::DiscreteGpu => Self::Discrete,
            DeviceType::IntegratedGpu => Self::Integrated,
            DeviceType::VirtualGpu => Self::Virtual,
            DeviceType::Other => Self::Unknown,
            DeviceType::Cpu => Self::Software,
        }
    }
}

/// Every adapter of this machine, in the driver's order. Loads drivers, so it takes a moment.
#[must_use]
pub fn adapters(choice: Choice<'_>) -> Vec<Found> {
    survey(&enumerate(), choice).0
}

fn enumerate() -> Vec<Adapter> {
    let backends = Backends::VULKAN | Backends::METAL | Backends::DX12;
    let descriptor = InstanceDescriptor {
        backends,
        // No validation layer, and nothing from the environment: a library takes parameters.
        flags: InstanceFlags::empty(),
        ..InstanceDescriptor::new_without_display_handle()
    };
    now(wgpu::Instance::new(descriptor).enumerate_adapters(backends)).unwrap_or_default()
}

/// Describes the adapters and says which one is taken.
fn survey(adapters: &[Adapter], choice: Choice<'_>) -> (Vec<Found>, Result<usize, Absent>) {
    let described: Vec<(Found, Option<String>)> = adapters.iter().map(describe).collect();
    let candidates: Vec<(&Found, Option<&str>)> = described.iter().map(|(f, why)| (f, why.as_deref())).collect();
    let (taken, reasons) = choose(&candidates, choice);
    let found = described.into_iter().zip(reasons).enumerate().map(|(at, ((found, _), reason))| Found {
        taken: taken == Ok(at),
        reason,
        ..found
    });
    (found.collect(), taken)
}

fn describe(adapter: &Adapter) -> (Found, Option<String>) {
    let info = adapter.get_info();
    let found = Found {
        name: info.name,
        kind: Kind::of(info.device_type),
        api: info.backend.to_str(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        taken: false,
        reason: String::new(),
    };
    let mut unfit = None;
    Limits::defaults().check_limits_with_fail_fn(&adapter.limits(), false, |what, wanted, has| {
        unfit.get_or_insert(format!("its {what} is {has}, WebGPU's default is {wanted}"));
    });
    (found, unfit)
}

/// The rule, apart from any driver: which one, and a reason for each.
fn choose(adapters: &[(&Found, Option<&str>)], choice: Choice<'_>) -> (Result<usize, Absent>, Vec<String>) {
    let fit = |(at, (found, unfit)): (usize, &(&Found, Option<&str>))| {
        (unfit.is_none() && choice.admits(found)).then_some((found.kind, at))
    };
    let taken = adapters.iter().enumerate().filter_map(fit).min().map(|(_, at)| at);
    let reason = |(at, (found, unfit)): (usize, &(&Found, Option<&str>))| match (unfit, choice) {
        (Some(why), _) => format!("left: {why}"),
        (None, Choice::Named(name)) if !choice.admits(found) => format!("left: `{name}` is not in its name"),
        (None, Choice::Named(name)) if taken == Some(at) => format!("taken: chosen by the name `{name}`"),
        (None, Choice::Best) if taken == Some(at) => format!("taken: the first {}", found.kind),
        (None, _) => {
            let better = taken.and_then(|at| adapters.get(at)).map_or("another", |(better, _)| better.name.as_str());
            format!("left: {better} comes first")
        }
    };
    let reasons = adapters.iter().enumerate().map(reason).collect();
    (taken.ok_or_else(|| why_none(adapters, choice)), reasons)
}

/// Why none is taken: what is wrong with the first that was meant, where there is one.
fn why_none(adapters: &[(&Found, Option<&str>)], choice: Choice<'_>) -> Absent {
    match (adapters.iter().find(|(found, _)| choice.admits(found)), choice) {
        (Some((found, why)), _) => Absent::Unfit(format!("{}: {}", found.name, why.unwrap_or("no reason known"))),
        (None, Choice::Named(name)) if !adapters.is_empty() => Absent::NoneNamed(name.to_owned()),
        (None, _) => Absent::NoAdapter,
    }
}

/// An open device, and what went wrong with it so far.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) adapter: Found,
    pub(crate) native_words: bool,
    state: Arc<State>,
    made: AtomicU64,
}

/// Once set, never cleared: after an error nobody foresaw, no result of this device is believed.
#[derive(Debug, Default)]
struct State {
    broken: AtomicBool,
    trouble: OnceLock<String>,
}

impl State {
    fn fail(&self, why: String) {
        // The first cause is the one to know.
        self.trouble.get_or_init(|| why);
        self.broken.store(true, Ordering::SeqCst);
    }
}

impl Device {
    pub(crate) fn open(choice: Choice<'_>) -> Result<Self, Absent> {
        let adapters = enumerate();
        let (found, taken) = survey(&adapters, choice);
        let at = taken?;
        let adapter = &adapters[at];
        let wanted = adapter.features() & (Features::SHADER_INT64 | Features::TIMESTAMP_QUERY);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("tensorguard"),
            required_features: wanted,
            // The defaults and no more, so that what runs here runs on every WebGPU device.
            required_limits: Limits::defaults(),
            ..Default::default()
        };
        let opened = now(adapter.request_device(&descriptor));
        let (device, queue) = opened
            .ok_or_else(|| Absent::Refused("it does not answer".to_owned()))?
            .map_err(|error| Absent::Refused(error.to_string()))?;
        let state = Arc::new(State::default());
        // Without these two, an error would panic or pass unseen.
        let seen = Arc::clone(&state);
        device.on_uncaptured_error(Arc::new(move |error| seen.fail(error.to_string())));
        let seen = Arc::clone(&state);
        device.set_device_lost_callback(move |reason, why| seen.fail(format!("{reason:?}: {why}")));
        let native_words = wanted.contains(Features::SHADER_INT64);
        Ok(Self { device, queue, adapter: found[at].clone(), native_words, state, made: AtomicU64::new(0) })
    }

    /// `Err` from the first unforeseen error on.
    pub(crate) fn healthy(&self) -> Result<(), Fault> {
        if self.state.broken.load(Ordering::SeqCst) { Err(Fault::DeviceLost) } else { Ok(()) }
    }

    /// From now on every job fails: for a device that does not answer.
    pub(crate) fn give_up(&self, why: &str) -> Fault {
        self.state.fail(why.to_owned());
        Fault::DeviceLost
    }

    /// What happened first, if anything did.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.state.trouble.get().map(String::as_str)
    }

    /// How often [`Self::guarded`] made something.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Runs `make` and turns what the device objects to into a fault: nothing to a job that may be tried again.
    pub(crate) fn guarded<T>(&self, make: impl FnOnce(&wgpu::Device) -> T) -> Result<T, Fault> {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        self.healthy()?;
        let [internal, validation, memory] =
            [Internal, Validation, OutOfMemory].map(|f| self.device.push_error_scope(f));
        let made = make(&self.device);
        // Popped in reverse order of their creation.
        let memory = now(memory.pop()).flatten();
        let validation = now(validation.pop()).flatten();
        let internal = now(internal.pop()).flatten();
        match (memory, validation.or(internal)) {
            (None, None) => {
                self.made.fetch_add(1, Ordering::Relaxed);
                self.healthy().map(|()| made)
            }
            (Some(_), _) => Err(Fault::OutOfMemory),
            (None, Some(_)) => Err(Fault::Declined),
        }
    }
}

/// The value of a future that does not wait: on native devices these are all ready when they are made.
pub(crate) fn now<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, kind: Kind) -> Found {
        Found { name: name.into(), kind, api: "vulkan", driver: String::new(), taken: false, reason: String::new() }
    }

    #[test]
    fn discrete_comes_before_integrated_before_software_and_a_name_overrides() {
        let all = [
            found("llvmpipe", Kind::Software),
            found("UHD 770", Kind::Integrated),
            found("RTX A", Kind::Discrete),
            found("RTX B", Kind::Discrete),
        ];
        let fit: Vec<_> = all.iter().map(|found| (found, None)).collect();
        let (taken, reasons) = choose(&fit, Choice::Best);
        assert_eq!(taken, Ok(2));
        assert!(reasons[2].starts_with("taken") && reasons[3].contains("RTX A comes first"), "{reasons:?}");
        assert_eq!(choose(&fit, Choice::Named("uhd")).0, Ok(1));
        assert_eq!(choose(&fit, Choice::Named("LLVM")).0, Ok(0));
        let mut unfit = fit;
        unfit[2].1 = Some("too small");
        let (taken, reasons) = choose(&unfit, Choice::Best);
        assert_eq!((taken, reasons[2].as_str()), (Ok(3), "left: too small"));
    }

    #[test]
    fn where_none_is_taken_the_reason_is_that_of_the_one_that_was_meant() {
        let all = [found("llvmpipe", Kind::Software), found("RTX A", Kind::Discrete)];
        let listed = [(&all[0], None), (&all[1], Some("too small"))];
        let none_named = Absent::NoneNamed("nothing like it".into());
        assert_eq!(choose(&listed, Choice::Named("nothing like it")).0, Err(none_named));
        assert_eq!(choose(&listed, Choice::Named("rtx")).0, Err(Absent::Unfit("RTX A: too small".into())));
        assert_eq!(choose(&listed[1..], Choice::Best).0, Err(Absent::Unfit("RTX A: too small".into())));
        assert_eq!(choose(&[], Choice::Best).0, Err(Absent::NoAdapter));
        assert_eq!(choose(&[], Choice::Named("rtx")).0, Err(Absent::NoAdapter));
    }
}
