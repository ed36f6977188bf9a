//! The shaders: how their text is put together, which buffers they take, and the compiled form of each, made once.

use crate::device::Device;
use crate::numbers::structures;
use kernels::Fault;
use kernels::expand::Domain;
use std::sync::OnceLock;

/// Words that a workgroup holds: the 16 KiB that every WebGPU device has.
pub(crate) const TILE: usize = wgpu::Limits::defaults().max_compute_workgroup_storage_size as usize / 4;
/// Invocations of a workgroup: what every WebGPU device has.
pub(crate) const THREADS: usize = wgpu::Limits::defaults().max_compute_invocations_per_workgroup as usize;
/// Invocations that share a row of plain LWE: as many as a row of the suites has blocks.
const ROW_THREADS: usize = 64;
/// The widest grid: a power of two, so that large counts leave no odd rest.
const GRID: u32 = wgpu::Limits::defaults().max_compute_workgroups_per_dimension.div_ceil(2);

/// How the high half of a product is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// From 16-bit limbs: runs everywhere.
    Limbs,
    /// From the device's 64-bit integers.
    Native,
}

/// What a binding is to a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Numbers,
    Read,
    Write,
}
use Access::{Numbers, Read, Write};

/// One entry point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    ForwardWide,
    ForwardTile,
    InverseTile,
    InverseWide,
    SecretRows,
    Product,
    Errors,
    Seal,
    Sum,
    KeyRows,
    OpenSums,
    DenseSecret,
    DenseRows,
}

impl Kernel {
    /// In the order of the variants, so that a kernel is an index.
    pub(crate) const ALL: &[Self] = &[
        Self::ForwardWide,
        Self::ForwardTile,
        Self::InverseTile,
        Self::InverseWide,
        Self::SecretRows,
        Self::Product,
        Self::Errors,
        Self::Seal,
        Self::Sum,
        Self::KeyRows,
        Self::OpenSums,
        Self::DenseSecret,
        Self::DenseRows,
    ];

    /// File, entry point, and the bindings it uses.
    fn parts(self) -> (File, &'static str, &'static [(u32, Access)]) {
        const ONE_READ: &[(u32, Access)] = &[(0, Numbers), (1, Read), (2, Write)];
        const IN_PLACE: &[(u32, Access)] = &[(0, Numbers), (2, Write)];
        const SEAL: &[(u32, Access)] = &[(0, Numbers), (1, Read), (2, Read), (3, Read), (4, Write)];
        const OPEN: &[(u32, Access)] = &[(0, Numbers), (2, Write), (3, Read), (4, Write), (5, Write)];
        match self {
            Self::ForwardWide => (File::Ntt, "forward_wide", ONE_READ),
            Self::ForwardTile => (File::Ntt, "forward_tile", ONE_READ),
            Self::InverseTile => (File::Ntt, "inverse_tile", ONE_READ),
            Self::InverseWide => (File::Ntt, "inverse_wide", ONE_READ),
            Self::SecretRows => (File::Pad, "secret_rows", IN_PLACE),
            Self::Product => (File::Pad, "product", ONE_READ),
            Self::Errors => (File::Pad, "errors", IN_PLACE),
            Self::Seal => (File::Seal, "seal", SEAL),
            Self::Sum => (File::Sum, "sum", ONE_READ),
            Self::KeyRows => (File::Decrypt, "key_rows", ONE_READ),
            Self::OpenSums => (File::Decrypt, "open_sums", OPEN),
            Self::DenseSecret => (File::Dense, "dense_secret", IN_PLACE),
            Self::DenseRows => (File::Dense, "dense_rows", ONE_READ),
        }
    }
}

/// One file of entry points that share their bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Ntt,
    Pad,
    Seal,
    Sum,
    Decrypt,
    Dense,
}

impl File {
    const ALL: &[Self] = &[Self::Ntt, Self::Pad, Self::Seal, Self::Sum, Self::Decrypt, Self::Dense];

    /// The expander where the file draws from streams, and the file itself.
    fn texts(self) -> [&'static str; 2] {
        let expand = include_str!("../wgsl/expand.wgsl");
        match self {
            Self::Ntt => ["", include_str!("../wgsl/ntt.wgsl")],
            Self::Pad => [expand, include_str!("../wgsl/pad.wgsl")],
            Self::Seal => ["", include_str!("../wgsl/seal.wgsl")],
            Self::Sum => ["", include_str!("../wgsl/sum.wgsl")],
            Self::Decrypt => ["", include_str!("../wgsl/decrypt.wgsl")],
            Self::Dense => [expand, include_str!("../wgsl/dense.wgsl")],
        }
    }

    /// All that a device compiles.
    fn source(self, arithmetic: Arithmetic) -> String {
        let multiply = match arithmetic {
            Arithmetic::Limbs => include_str!("../wgsl/mul_limbs.wgsl"),
            Arithmetic::Native => include_str!("../wgsl/mul_native.wgsl"),
        };
        let words = include_str!("../wgsl/words.wgsl");
        let [expand, own] = self.texts();
        [&constants(), &structures(), multiply, words, expand, own].concat()
    }
}

/// Numbers that decide a shader's shape. None is typed in WGSL.
fn constants() -> String {
    let constants = [
        ("TILE", TILE),
        ("THREADS", THREADS),
        ("ROW_THREADS", ROW_THREADS),
        ("MAX_FOLD", ntt::Plan::MAX_N / TILE),
        ("BLOCK_WORDS", kernels::expand::BLOCK_WORDS),
        ("DOMAIN_A", Domain::A as usize),
        ("DOMAIN_OVERFLOW", Domain::Overflow as usize),
        ("DOMAIN_S", Domain::S as usize),
        ("DOMAIN_E", Domain::E as usize),
    ];
    constants.iter().map(|(name, value)| format!("const {name} = {value}u;\n")).collect()
}

/// Compiled on first use: an engine that only sums never compiles the transforms.
#[derive(Debug)]
pub(crate) struct Pipelines {
    arithmetic: Arithmetic,
    modules: Vec<OnceLock<wgpu::ShaderModule>>,
    compiled: Vec<OnceLock<Pipeline>>,
}

/// A kernel, ready to be recorded.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    bindings: &'static [(u32, Access)],
}

impl Pipelines {
    pub(crate) fn new(arithmetic: Arithmetic) -> Self {
        Self {
            arithmetic,
            modules: File::ALL.iter().map(|_| OnceLock::new()).collect(),
            compiled: Kernel::ALL.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    pub(crate) fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// Two threads may compile the same kernel; one result is kept.
    pub(crate) fn get(&self, device: &Device, kernel: Kernel) -> Result<&Pipeline, Fault> {
        let slot = &self.compiled[kernel as usize];
        if let Some(pipeline) = slot.get() {
            return Ok(pipeline);
        }
        let (file, _, _) = kernel.parts();
        let module = &self.modules[file as usize];
        if module.get().is_none() {
            let source = wgpu::ShaderSource::Wgsl(file.source(self.arithmetic).into());
            let descriptor = wgpu::ShaderModuleDescriptor { label: None, source };
            let made = device.guarded(|device| device.create_shader_module(descriptor))?;
            module.get_or_init(|| made);
        }
        let module = module.get().ok_or(Fault::Declined)?;
        let made = device.guarded(|device| Pipeline::new(device, module, kernel))?;
        Ok(slot.get_or_init(|| made))
    }
}

impl Pipeline {
    fn new(device: &wgpu::Device, module: &wgpu::ShaderModule, kernel: Kernel) -> Self {
        let (_, entry, bindings) = kernel.parts();
        let entries: Vec<_> = bindings.iter().map(|&(binding, access)| layout_entry(binding, access)).collect();
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: Some(entry), entries: &entries };
        let layout = device.create_bind_group_layout(&descriptor);
        let whole = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(entry),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: Some(&whole),
            module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every kernel fills what it reads.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        Self { pipeline, layout, bindings }
    }

    /// Records `groups` workgroups over the buffers, given in the order of the bindings.
    pub(crate) fn record(
        &self,
        device: &wgpu::Device,
        pass: &mut wgpu::ComputePass<'_>,
        buffers: &[&wgpu::Buffer],
        groups: usize,
    ) {
        assert_eq!(buffers.len(), self.bindings.len(), "a kernel takes one buffer for each of its bindings");
        let entries: Vec<_> = self
            .bindings
            .iter()
            .zip(buffers)
            .map(|(&(binding, _), buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &self.layout, entries: &entries };
        let group = device.create_bind_group(&descriptor);
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &group, &[]);
        let groups = u32::try_from(groups).expect("work is cut into pieces of fewer than 2^32 words");
        if groups <= GRID {
            pass.dispatch_workgroups(groups, 1, 1);
        } else {
            // Kernels leave out what lies past their counts.
            pass.dispatch_workgroups(GRID, groups.div_ceil(GRID), 1);
        }
    }
}

fn layout_entry(binding: u32, access: Access) -> wgpu::BindGroupLayoutEntry {
    let ty = match access {
        Numbers => wgpu::BufferBindingType::Uniform,
        Read => wgpu::BufferBindingType::Storage { read_only: true },
        Write => wgpu::BufferBindingType::Storage { read_only: false },
    };
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
    use naga::{AddressSpace, Module, StorageAccess};

    /// A file as a device gets it, and what the validator says of it.
    fn validated(file: File, arithmetic: Arithmetic) -> (Module, ModuleInfo) {
        let capabilities = match arithmetic {
            Arithmetic::Limbs => Capabilities::empty(),
            Arithmetic::Native => Capabilities::SHADER_INT64,
        };
        let source = file.source(arithmetic);
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{file:?}: {}", error.emit_to_string(&source)));
        let info = Validator::new(ValidationFlags::all(), capabilities)
            .validate(&module)
            .unwrap_or_else(|error| panic!("{file:?}: {}", error.emit_to_string(&source)));
        (module, info)
    }

    #[test]
    fn every_shader_is_valid_and_fits_the_default_limits() {
        let limits = wgpu::Limits::defaults();
        for &file in File::ALL {
            for arithmetic in [Arithmetic::Limbs, Arithmetic::Native] {
                let (module, _) = validated(file, arithmetic);
                for entry in &module.entry_points {
                    let [x, y, z] = entry.workgroup_size;
                    assert!(x * y * z <= limits.max_compute_invocations_per_workgroup, "{}", entry.name);
                    assert!(x <= limits.max_compute_workgroup_size_x, "{}", entry.name);
                    assert!(y <= limits.max_compute_workgroup_size_y, "{}", entry.name);
                    assert!(z <= limits.max_compute_workgroup_size_z, "{}", entry.name);
                }
                let bytes = |space| {
                    let of_space = module.global_variables.iter().filter(|(_, variable)| variable.space == space);
                    of_space.map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx())).sum::<u32>()
                };
                let (shared, numbers) = (bytes(AddressSpace::WorkGroup), bytes(AddressSpace::Uniform));
                assert!(shared <= limits.max_compute_workgroup_storage_size, "{file:?} shares {shared} bytes");
                assert!(u64::from(numbers) <= limits.max_uniform_buffer_binding_size, "{file:?} has {numbers} bytes");
            }
        }
    }

    #[test]
    fn every_kernel_binds_what_its_entry_point_uses_and_no_more() {
        let most = wgpu::Limits::defaults().max_storage_buffers_per_shader_stage as usize;
        for &kernel in Kernel::ALL {
            let (file, name, bindings) = kernel.parts();
            let (module, info) = validated(file, Arithmetic::Limbs);
            let at = module.entry_points.iter().position(|entry| entry.name == name).expect("it has this entry point");
            let uses = info.get_entry_point(at);
            let globals = module.global_variables.iter().filter(|(handle, _)| !uses[*handle].is_empty());
            let used: Vec<(u32, Access)> = globals
                .filter_map(|(_, variable)| {
                    let access = match variable.space {
                        AddressSpace::Uniform => Numbers,
                        AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Write,
                        _ => Read,
                    };
                    Some((variable.binding.as_ref()?.binding, access))
                })
                .collect();
            assert_eq!(used, bindings, "{name}");
            assert!(used.iter().filter(|(_, access)| *access != Numbers).count() <= most, "{name}");
        }
    }

    #[test]
    fn every_entry_point_has_one_kernel() {
        for &file in File::ALL {
            for entry in &validated(file, Arithmetic::Limbs).0.entry_points {
                let kernels = Kernel::ALL.iter().map(|kernel| kernel.parts());
                let named = kernels.filter(|(of, name, _)| *of == file && *name == entry.name).count();
                assert_eq!(named, 1, "{} of {file:?}", entry.name);
            }
        }
        for (at, &kernel) in Kernel::ALL.iter().enumerate() {
            assert_eq!(kernel as usize, at, "ALL is in the order of the kernels");
        }
    }

    /// Shifts, widths and masks are WGSL's own. Every length, modulus, root and constant of a suite is larger, and no mask.
    #[test]
    fn no_number_of_a_suite_is_typed() {
        let multiply = [include_str!("../wgsl/mul_limbs.wgsl"), include_str!("../wgsl/mul_native.wgsl")];
        let texts = File::ALL.iter().flat_map(|file| file.texts()).chain(multiply);
        for text in texts.chain([include_str!("../wgsl/words.wgsl")]) {
            let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
            for word in code.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
                if !word.starts_with(|letter: char| letter.is_ascii_digit()) {
                    continue;
                }
                let digits = word.trim_end_matches(['u', 'i']);
                let number = match digits.strip_prefix("0x") {
                    Some(digits) => u64::from_str_radix(digits, 16),
                    None => digits.parse(),
                };
                let number = number.unwrap_or_else(|error| panic!("{word}: {error}"));
                let is_mask = number & (number + 1) == 0;
                assert!(number <= 64 || is_mask, "{word} is typed in WGSL: let numbers.rs or pipeline.rs make it");
            }
        }
    }

    #[test]
    fn a_record_of_statistics_is_as_long_as_the_shader_writes_it() {
        let (module, _) = validated(File::Decrypt, Arithmetic::Limbs);
        let (_, record) =
            module.types.iter().find(|(_, kind)| kind.name.as_deref() == Some("Noise")).expect("it is there");
        assert_eq!(record.inner.size(module.to_ctx()) as usize, 4 * crate::jobs::decrypt::RECORD);
    }
}
