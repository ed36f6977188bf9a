//! The policy: a network of four layers whose two square layers carry low-rank adapters.
//!
//! `x @ W` becomes `x @ W + scale * (x @ A) @ B`, where `W` is the base, which stays, and `A` and `B` are the adapter,
//! which robots train and send. All arithmetic is candle's, for acting as for training.

use crate::arm::{JOINTS, OBSERVED};
use crate::random::Stream;
use crate::{Config, Fault};
use candle_core::{Device, Tensor, Var};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// Square layers, each with an adapter.
pub(crate) const SQUARE: usize = 2;
/// Width of the hidden layer of the critic.
const CRITIC: usize = 64;

/// The weights that every robot has from the start: version 0.
#[derive(Clone, Debug)]
pub struct Base {
    width: usize,
    /// Weight and bias of each layer: in, square, square, out.
    pub(crate) actor: Vec<Tensor>,
    /// Weight and bias of the two layers of the critic, which only reinforcement learning uses.
    pub(crate) critic: Vec<Tensor>,
}

impl Base {
    /// Untrained weights.
    pub(crate) fn new(config: &Config) -> Result<Self, Fault> {
        let width = config.width;
        let mut random = Stream::new(config.seed, "base weights", &[width as u64]);
        let actor = layers(&mut random, &actor_shapes(width))?;
        let critic = layers(&mut random, &CRITIC_SHAPES)?;
        Ok(Self { width, actor, critic })
    }

    /// Values of a hidden layer.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The weights in the safetensors format.
    ///
    /// # Errors
    /// The format's.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, Fault> {
        let named = names().into_iter().zip(self.actor.iter().chain(&self.critic));
        let bytes = named.map(|(name, tensor)| Ok((name, tensor.dims().to_vec(), little_endian(&flat(tensor)?))));
        let bytes = bytes.collect::<Result<Vec<_>, Fault>>()?;
        let views =
            bytes.iter().map(|(name, shape, data)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?)));
        let views = views.collect::<Result<Vec<_>, Fault>>()?;
        Ok(safetensors::serialize(views, None)?)
    }

    /// Reads what [`Base::to_safetensors`] wrote.
    ///
    /// # Errors
    /// [`Fault::Malformed`] for anything else; shapes must be those of a network of one width.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, Fault> {
        let file = SafeTensors::deserialize(bytes)?;
        let width = match file.tensor("actor.0.weight")?.shape() {
            [OBSERVED, width] => *width,
            shape => {
                return Err(Fault::Malformed(format!("the first layer has shape {shape:?}, not [{OBSERVED}, width]")));
            }
        };
        let shapes: Vec<_> = actor_shapes(width)
            .into_iter()
            .chain(CRITIC_SHAPES)
            .flat_map(|(rows, columns)| [vec![rows, columns], vec![columns]])
            .collect();
        let mut tensors = Vec::new();
        for (name, shape) in names().into_iter().zip(shapes) {
            let view = file.tensor(&name)?;
            if view.dtype() != Dtype::F32 || view.shape() != shape {
                let (dtype, found) = (view.dtype(), view.shape());
                return Err(Fault::Malformed(format!("{name} is {dtype:?} {found:?}, not F32 {shape:?}")));
            }
            tensors.push(Tensor::from_vec(floats(view.data())?, shape, &Device::Cpu)?);
        }
        let critic = tensors.split_off(2 * (SQUARE + 2));
        Ok(Self { width, actor: tensors, critic })
    }
}

/// Weights drawn as He proposed for layers with rectifiers, biases zero; the last layer starts small.
fn layers(random: &mut Stream, shapes: &[(usize, usize)]) -> Result<Vec<Tensor>, Fault> {
    let mut tensors = Vec::new();
    for (index, &(rows, columns)) in shapes.iter().enumerate() {
        let gain = if index + 1 == shapes.len() { 0.02 } else { 2.0 };
        let deviation = libm::sqrtf(gain / rows as f32);
        let weight: Vec<f32> = (0..rows * columns).map(|_| deviation * random.normal()).collect();
        tensors.push(Tensor::from_vec(weight, (rows, columns), &Device::Cpu)?);
        tensors.push(Tensor::zeros(columns, candle_core::DType::F32, &Device::Cpu)?);
    }
    Ok(tensors)
}

fn actor_shapes(width: usize) -> [(usize, usize); SQUARE + 2] {
    [(OBSERVED, width), (width, width), (width, width), (width, JOINTS)]
}

const CRITIC_SHAPES: [(usize, usize); 2] = [(OBSERVED + 1, CRITIC), (CRITIC, 1)];

fn names() -> Vec<String> {
    let layer = |network: &str, index: usize| [format!("{network}.{index}.weight"), format!("{network}.{index}.bias")];
    let actor = (0..SQUARE + 2).flat_map(|index| layer("actor", index));
    actor.chain((0..CRITIC_SHAPES.len()).flat_map(|index| layer("critic", index))).collect()
}

/// The adapter that changes nothing: each `A` drawn from the seed, each `B` zero.
pub(crate) fn initial_adapter(config: &Config) -> Vec<f32> {
    let mut random = Stream::new(config.seed, "adapter", &[config.width as u64, config.rank as u64]);
    let half = config.width * config.rank;
    let deviation = libm::sqrtf(1.0 / config.width as f32);
    let mut adapter = Vec::with_capacity(config.values());
    for _ in 0..SQUARE {
        adapter.extend((0..half).map(|_| deviation * random.normal()));
        adapter.extend(std::iter::repeat_n(0.0, half));
    }
    adapter
}

/// An adapter in the safetensors format.
///
/// # Errors
/// [`Fault::Length`] for an adapter of another shape.
pub fn adapter_to_safetensors(config: &Config, adapter: &[f32]) -> Result<Vec<u8>, Fault> {
    config.expect(adapter.len())?;
    let half = config.width * config.rank;
    let parts: Vec<_> = adapter.chunks(half).map(little_endian).collect();
    let views = parts.iter().enumerate().map(|(index, data)| {
        let shape =
            if index.is_multiple_of(2) { vec![config.width, config.rank] } else { vec![config.rank, config.width] };
        Ok((adapter_name(index), TensorView::new(Dtype::F32, shape, data)?))
    });
    Ok(safetensors::serialize(views.collect::<Result<Vec<_>, Fault>>()?, None)?)
}

/// Reads what [`adapter_to_safetensors`] wrote.
///
/// # Errors
/// [`Fault::Malformed`] for anything else, [`Fault::Length`] for an adapter of another shape.
pub fn adapter_from_safetensors(config: &Config, bytes: &[u8]) -> Result<Vec<f32>, Fault> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut adapter = Vec::new();
    for index in 0..2 * SQUARE {
        let view = file.tensor(&adapter_name(index))?;
        if view.dtype() != Dtype::F32 {
            return Err(Fault::Malformed(format!("{} is {:?}, not F32", adapter_name(index), view.dtype())));
        }
        adapter.extend(floats(view.data())?);
    }
    config.expect(adapter.len())?;
    Ok(adapter)
}

fn adapter_name(index: usize) -> String {
    format!("adapter.{}.{}", index / 2, if index.is_multiple_of(2) { "a" } else { "b" })
}

pub(crate) fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Finite floats from bytes.
pub(crate) fn floats(bytes: &[u8]) -> Result<Vec<f32>, Fault> {
    let (words, rest) = bytes.as_chunks::<4>();
    let values: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    if !rest.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return Err(Fault::Malformed("values must be finite and of four bytes each".into()));
    }
    Ok(values)
}

pub(crate) fn flat(tensor: &Tensor) -> Result<Vec<f32>, Fault> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// A policy that only acts: base and adapter merged into one set of weights.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) layers: Vec<Tensor>,
}

impl Actor {
    /// The base with an adapter.
    ///
    /// # Errors
    /// [`Fault::Length`] for an adapter of another shape.
    pub(crate) fn new(config: &Config, base: &Base, adapter: &[f32]) -> Result<Self, Fault> {
        config.expect(adapter.len())?;
        let mut layers = base.actor.clone();
        for (index, pair) in split(config, adapter)?.chunks(2).enumerate() {
            let added = (pair[0].matmul(&pair[1])? * config.adapter_scale())?;
            layers[2 + 2 * index] = (&layers[2 + 2 * index] + added)?;
        }
        Ok(Self { layers })
    }

    /// The mean action for each observation: rows of [`OBSERVED`] values in, rows of [`JOINTS`] out.
    ///
    /// # Errors
    /// The framework's.
    pub(crate) fn act(&self, observations: &[f32]) -> Result<Vec<f32>, Fault> {
        let rows = observations.len() / OBSERVED;
        let input = Tensor::from_slice(observations, (rows, OBSERVED), &Device::Cpu)?;
        flat(&forward(&self.layers, &[], 0.0, &input)?)
    }
}

/// An adapter as tensors: `A`, `B` of the first square layer, then of the second.
fn split(config: &Config, adapter: &[f32]) -> Result<Vec<Tensor>, Fault> {
    let (width, rank) = (config.width, config.rank);
    let shape = |index: usize| if index.is_multiple_of(2) { (width, rank) } else { (rank, width) };
    let tensors = adapter.chunks(width * rank).enumerate();
    tensors.map(|(index, part)| Ok(Tensor::from_slice(part, shape(index), &Device::Cpu)?)).collect()
}

/// An adapter that is being trained.
pub(crate) struct Trained<'a> {
    base: &'a Base,
    pub(crate) vars: Vec<Var>,
    scale: f64,
}

impl<'a> Trained<'a> {
    pub(crate) fn new(config: &Config, base: &'a Base, adapter: &[f32]) -> Result<Self, Fault> {
        config.expect(adapter.len())?;
        let vars = split(config, adapter)?.iter().map(Var::from_tensor).collect::<Result<_, _>>()?;
        Ok(Self { base, vars, scale: config.adapter_scale() })
    }

    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor, Fault> {
        forward(&self.base.actor, &self.vars, self.scale, input)
    }

    /// What was added to `before`.
    pub(crate) fn difference(&self, before: &[f32]) -> Result<Vec<f32>, Fault> {
        let mut after = Vec::with_capacity(before.len());
        for var in &self.vars {
            after.extend(flat(var)?);
        }
        Ok(after.iter().zip(before).map(|(after, before)| after - before).collect())
    }
}

/// The network, with an adapter or (`adapter` empty) without.
pub(crate) fn forward(layers: &[Tensor], adapter: &[Var], scale: f64, input: &Tensor) -> Result<Tensor, Fault> {
    let mut hidden = input.clone();
    let last = layers.len() / 2 - 1;
    for (index, layer) in layers.chunks(2).enumerate() {
        let mut next = hidden.matmul(&layer[0])?;
        let pair = index.checked_sub(1).and_then(|square| adapter.get(2 * square..2 * square + 2));
        if let Some(pair) = pair {
            next = (next + (hidden.matmul(&pair[0])?.matmul(&pair[1])? * scale)?)?;
        }
        next = next.broadcast_add(&layer[1])?;
        hidden = if index == last { next } else { next.relu()? };
    }
    Ok(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Size, Task};

    fn small() -> (Config, Base, Vec<f32>, Vec<f32>) {
        let config = Config { width: 16, rank: 3, ..Config::of(Task::Imitation, Size::Kb10, 5) };
        let mut random = Stream::new(5, "test", &[]);
        let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| 0.3 * random.normal()).collect() };
        let (adapter, observations) = (draw(config.values()), draw(7 * OBSERVED));
        (config, Base::new(&config).unwrap(), adapter, observations)
    }

    /// The same network by its definition, in double precision.
    fn by_definition(config: &Config, base: &Base, adapter: &[f64], observation: &[f32]) -> Vec<f64> {
        let (width, rank) = (config.width, config.rank);
        let times = |input: &[f64], weight: &[f64], columns: usize| -> Vec<f64> {
            (0..columns)
                .map(|c| input.iter().enumerate().map(|(r, value)| value * weight[r * columns + c]).sum())
                .collect()
        };
        let mut hidden: Vec<f64> = observation.iter().map(|value| f64::from(*value)).collect();
        for layer in 0..SQUARE + 2 {
            let wide = |tensor: &Tensor| -> Vec<f64> { flat(tensor).unwrap().iter().map(|v| f64::from(*v)).collect() };
            let bias = wide(&base.actor[2 * layer + 1]);
            let mut next = times(&hidden, &wide(&base.actor[2 * layer]), bias.len());
            if (1..=SQUARE).contains(&layer) {
                let pair = &adapter[2 * (layer - 1) * width * rank..];
                let low = times(&hidden, &pair[..width * rank], rank);
                let added = times(&low, &pair[width * rank..2 * width * rank], width);
                next.iter_mut().zip(added).for_each(|(next, added)| *next += config.adapter_scale() * added);
            }
            next.iter_mut().zip(bias).for_each(|(next, bias)| *next += bias);
            hidden = if layer == SQUARE + 1 { next } else { next.iter().map(|value| value.max(0.0)).collect() };
        }
        hidden
    }

    #[test]
    fn acting_and_training_compute_what_the_definition_says() {
        let (config, base, adapter, observations) = small();
        let wide: Vec<f64> = adapter.iter().map(|value| f64::from(*value)).collect();
        let acted = Actor::new(&config, &base, &adapter).unwrap().act(&observations).unwrap();
        let input = Tensor::from_slice(&observations, (7, OBSERVED), &Device::Cpu).unwrap();
        let trained = flat(&Trained::new(&config, &base, &adapter).unwrap().forward(&input).unwrap()).unwrap();
        let defined = observations.chunks(OBSERVED).flat_map(|one| by_definition(&config, &base, &wide, one));
        for ((acted, trained), defined) in acted.iter().zip(&trained).zip(defined) {
            let far = (f64::from(*acted) - defined).abs().max((f64::from(*trained) - defined).abs());
            assert!(far < 1e-4 * (1.0 + defined.abs()), "{acted} {trained} {defined}");
        }
    }

    #[test]
    fn gradients_are_those_of_the_definition() {
        let (config, base, adapter, observations) = small();
        let input = Tensor::from_slice(&observations, (7, OBSERVED), &Device::Cpu).unwrap();
        let trained = Trained::new(&config, &base, &adapter).unwrap();
        let gradients = trained.forward(&input).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let gradients: Vec<f32> =
            trained.vars.iter().flat_map(|var| flat(gradients.get(var).unwrap()).unwrap()).collect();
        let wide: Vec<f64> = adapter.iter().map(|value| f64::from(*value)).collect();
        let loss = |adapter: &[f64]| -> f64 {
            let rows = observations.chunks(OBSERVED);
            rows.flat_map(|one| by_definition(&config, &base, adapter, one)).map(|value| value * value).sum()
        };
        for index in (0..adapter.len()).step_by(17) {
            let (mut less, mut more) = (wide.clone(), wide.clone());
            less[index] -= 1e-5;
            more[index] += 1e-5;
            let slope = (loss(&more) - loss(&less)) / 2e-5;
            let found = f64::from(gradients[index]);
            assert!((found - slope).abs() < 1e-3 * (1e-2 + slope.abs()), "{index}: {found} {slope}");
        }
    }

    #[test]
    fn an_initial_adapter_changes_nothing() {
        let (config, base, _, observations) = small();
        let with = Actor::new(&config, &base, &initial_adapter(&config)).unwrap().act(&observations).unwrap();
        assert_eq!(with, Actor { layers: base.actor.clone() }.act(&observations).unwrap());
    }

    #[test]
    fn weights_survive_their_file_and_a_wrong_file_is_refused() {
        let (config, base, adapter, observations) = small();
        let file = base.to_safetensors().unwrap();
        let read = Base::from_safetensors(&file).unwrap();
        assert_eq!(read.to_safetensors().unwrap(), file);
        let act = |base: &Base| Actor::new(&config, base, &adapter).unwrap().act(&observations).unwrap();
        assert_eq!(act(&read), act(&base));
        let stored = adapter_to_safetensors(&config, &adapter).unwrap();
        assert_eq!(adapter_from_safetensors(&config, &stored).unwrap(), adapter);
        assert!(matches!(Base::from_safetensors(&stored), Err(Fault::Malformed(_))));
        assert!(matches!(adapter_from_safetensors(&config, &file), Err(Fault::Malformed(_))));
        let wider = Config { rank: 4, ..config };
        assert!(matches!(adapter_from_safetensors(&wider, &stored), Err(Fault::Length { .. })));
        for cut in [0, 7, 8, file.len() / 2, file.len() - 1] {
            assert!(Base::from_safetensors(&file[..cut]).is_err(), "{cut}");
        }
        let mut infinite = adapter.clone();
        infinite[0] = f32::INFINITY;
        let stored = adapter_to_safetensors(&config, &infinite).unwrap();
        assert!(adapter_from_safetensors(&config, &stored).is_err());
    }
}
