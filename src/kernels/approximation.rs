//! Jacobians from values of F alone, as a machine that asks for them.
//!
//! It lives as long as a solve and makes one Jacobian after another, by differences or the complex
//! step (`differences`). What comes out is looked at before it is believed:
//!
//! - A column of differences that is zero may be a step that is lost in the rounding of F. F is asked
//!   farther away, at all such columns at once. Where it moves, its noise is estimated (`noise`); if
//!   that is more than was known, all steps are widened for the rest of the solve, and otherwise the
//!   zero columns are made again, by central differences over the distance at which F moves.
//! - Differences that are multiples of a coarse step have their noise estimated too.
//! - Rows or columns of the complex step that are zero may be those of a function that drops
//!   imaginary parts. F is asked at two real points; where its linear part there is not zero, it is
//!   no function for the complex step.
//! - A solver that finds a Jacobian of differences wrong may `refine` the approximation: each step
//!   follows the present size of its unknown and the rounding of the rows that its column is in,
//!   and two points become three.
//!
//! A function that is smooth, computes in the precision of x, and has no zero column is asked at
//! the points of the differences and at no other.

use ndarray::Array2;
use ndarray_linalg::c64;
use serde::{Deserialize, Serialize};

use super::differences::{ComplexStep, Distances, FiniteDifferences, Scheme, room, shortest};
use super::noise::{Finding, Probe};
use crate::linalg::{Field, memory};
use crate::saved;

/// How a Jacobian is approximated.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Rule {
    Differences(Scheme),
    ComplexStep,
}

/// How much better than by the rule the Jacobian is approximated.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, PartialOrd, Serialize)]
enum Refinement {
    None,
    Steps,
    Central,
}

/// Where F is wanted.
#[derive(Debug, PartialEq)]
pub enum Question<'a, T> {
    At(&'a [T]),
    OffTheRealAxis(&'a [c64]),
}

/// A part of F, or all of it, that depends on x but drops the imaginary part.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Dropped {
    All,
    /// This component of F.
    Component(usize),
    /// The dependence on this unknown.
    Unknown(usize),
}

/// What comes of the values.
pub enum Outcome<T> {
    Jacobian(Array2<T>),
    /// F is no function for the complex step.
    NotAnalytic(Dropped),
}

/// Jacobians in the making, throughout a solve.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Field")]
pub struct Approximator<T: Field> {
    rule: Rule,
    distances: Distances,
    refinement: Refinement,
    /// For each column, by how much the rounding of its rows is more than that of its own terms.
    /// Empty before the first Jacobian.
    #[serde(with = "saved::vector")]
    amplification: Vec<f64>,
    /// Columns and rows that are zero, and F was found to be constant. Empty where there are none.
    constant_columns: Vec<bool>,
    constant_rows: Vec<bool>,
    /// What coarse differences come from has been found out.
    coarseness_is_explained: bool,
    task: Option<Task<T>>,
}

/// One Jacobian in the making.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Field")]
struct Task<T: Field> {
    place: Place<T>,
    stage: Stage<T>,
}

/// Where the Jacobian is wanted.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Field")]
struct Place<T: Field> {
    #[serde(with = "saved::vector")]
    point: Vec<T>,
    #[serde(with = "saved::vector")]
    residual: Vec<T>,
    /// Bounds of the real parts; empty where there are none.
    #[serde(with = "saved::vector")]
    lower: Vec<f64>,
    #[serde(with = "saved::vector")]
    upper: Vec<f64>,
}

#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Field")]
enum Stage<T: Field> {
    Differences(FiniteDifferences<T>),
    /// F is asked farther away, for these columns.
    Probe {
        jacobian: Kept<T>,
        columns: Vec<bool>,
        probe: Probe<T>,
    },
    /// The zero columns are made again.
    Repair {
        jacobian: Kept<T>,
        columns: Vec<bool>,
        differences: FiniteDifferences<T>,
    },
    ComplexStep(ComplexStep<T>),
    /// Whether F depends on the real parts of these unknowns, where its imaginary part does not.
    Dependence {
        jacobian: Kept<T>,
        zeros: Zeros,
        columns: Vec<bool>,
        dependence: Dependence<T>,
    },
    Complete(Kept<T>),
    NotAnalytic(Dropped),
}

/// Which zeros of a complex step are looked at.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Zeros {
    Rows,
    Columns,
}

/// A Jacobian that is complete but for what is looked at.
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Field")]
struct Kept<T: Field>(#[serde(with = "saved::matrix")] Array2<T>);

/// How far away F is asked in relation to x: so that single and half precision show it.
const FARTHER: [f64; 2] = [3.5e-4, 0.03];

/// An error of F that is found must be so much more than the one that was known.
const MORE: f64 = 16.0;

/// The largest relative error of F that steps are made for.
const LARGEST_ERROR: f64 = 1e-3;

/// The largest relative steps of a refinement, by their truncation.
const WIDEST: [f64; 2] = [1e-5, 1e-3];

impl<T: Field> Approximator<T> {
    pub fn new(rule: Rule, distances: Distances) -> Self {
        Approximator {
            rule,
            distances,
            refinement: Refinement::None,
            amplification: Vec::new(),
            constant_columns: Vec::new(),
            constant_rows: Vec::new(),
            coarseness_is_explained: false,
            task: None,
        }
    }

    /// The relative error of F as far as it is known.
    pub fn precision(&self) -> f64 {
        self.distances.precision()
    }

    /// F is known to compute with this relative error.
    pub fn coarsen(&mut self, precision: f64) {
        self.distances.coarsen(precision);
    }

    /// How often the approximation can be refined. A step that the user has chosen is kept.
    pub fn refinements(&self) -> u8 {
        match self.rule {
            _ if self.distances.are_chosen() => 0,
            Rule::Differences(Scheme::TwoPoint) => 2,
            Rule::Differences(Scheme::ThreePoint) => 1,
            Rule::ComplexStep => 0,
        }
    }

    /// Refines the Jacobians from the next one on, to what it is after so many times.
    pub fn refine(&mut self, times: u8) {
        if self.task.is_some() || times == 0 || self.refinements() == 0 {
            return;
        }
        let two_points = self.rule == Rule::Differences(Scheme::TwoPoint);
        let wanted = match times {
            1 if two_points => Refinement::Steps,
            _ => Refinement::Central,
        };
        if wanted > self.refinement {
            self.refinement = wanted;
        }
    }

    /// Begins the Jacobian at a point, where F is `residual`. No point that is asked has a real
    /// part outside of the bounds.
    pub fn begin(&mut self, point: &[T], residual: &[T], bounds: Option<(&[f64], &[f64])>) {
        let (lower, upper) = bounds.unwrap_or_default();
        let place = Place {
            point: point.to_vec(),
            residual: residual.to_vec(),
            lower: lower.to_vec(),
            upper: upper.to_vec(),
        };
        let stage = match self.rule {
            Rule::Differences(_) => Stage::Differences(self.differences(&place)),
            Rule::ComplexStep => {
                Stage::ComplexStep(ComplexStep::new(point, residual.len(), &self.distances))
            }
        };
        self.task = Some(Task { place, stage });
        self.proceed();
    }

    /// Whether there is a Jacobian in the making, or one that has not been taken.
    pub fn is_at_work(&self) -> bool {
        self.task.is_some()
    }

    pub fn abandon(&mut self) {
        self.task = None;
    }

    /// Where F is wanted; None when it is complete, or has not begun.
    pub fn ask(&self) -> Option<Question<'_, T>> {
        self.task.as_ref().and_then(|task| task.stage.ask())
    }

    /// F at the point that was asked. An error tells that nothing of F is left off the real axis,
    /// and then nothing is changed.
    pub fn tell(&mut self, value: &[T]) -> Result<(), Dropped> {
        let Some(task) = &mut self.task else { return Ok(()) };
        match &mut task.stage {
            Stage::Differences(differences) => differences.tell(value),
            Stage::Probe { probe, .. } => probe.tell(value),
            Stage::Repair { differences, .. } => differences.tell(value),
            Stage::Dependence { jacobian, dependence, .. } => {
                let nothing = jacobian.0.iter().all(|entry| entry.is_zero());
                if nothing && dependence.would_show(value) {
                    return Err(Dropped::All);
                }
                dependence.tell(value);
            }
            Stage::ComplexStep(_) | Stage::Complete(_) | Stage::NotAnalytic(_) => {}
        }
        self.proceed();
        Ok(())
    }

    /// F at the point off the real axis that was asked.
    pub fn tell_off_the_real_axis(&mut self, value: &[c64]) {
        if let Some(Task { stage: Stage::ComplexStep(step), .. }) = &mut self.task {
            step.tell(value);
            self.proceed();
        }
    }

    /// What came of it, once; None before it is complete.
    pub fn take(&mut self) -> Option<Outcome<T>> {
        match self.task.take_if(|task| task.stage.is_last())?.stage {
            Stage::Complete(Kept(jacobian)) => Some(Outcome::Jacobian(jacobian)),
            Stage::NotAnalytic(dropped) => Some(Outcome::NotAnalytic(dropped)),
            _ => None,
        }
    }

    /// Whether the parts have the sizes that go together; those of saved state may not.
    pub fn fits(&self, unknowns: usize, equations: usize) -> bool {
        let flags = |flags: &[bool], count| flags.is_empty() || flags.len() == count;
        self.distances.fits(unknowns)
            && (self.amplification.is_empty() || self.amplification.len() == unknowns)
            && flags(&self.constant_columns, unknowns)
            && flags(&self.constant_rows, equations)
            && self.task.as_ref().is_none_or(|task| {
                task.place.fits(unknowns, equations)
                    && task.stage.fits(self.rule, unknowns, equations)
                    && !task.stage.is_ready()
            })
    }

    /// Goes on from stages that have all their values.
    fn proceed(&mut self) {
        while let Some(Task { place, stage }) = self.task.take_if(|task| task.stage.is_ready()) {
            let stage = match stage {
                Stage::Differences(differences) => self.judge_differences(&place, differences),
                Stage::Probe { jacobian, columns, probe } => {
                    self.judge_probe(&place, jacobian, columns, &probe)
                }
                Stage::Repair { mut jacobian, columns, differences } => {
                    let repaired = differences.into_jacobian();
                    for j in columns.iter().enumerate().filter(|column| *column.1).map(|c| c.0) {
                        jacobian.0.column_mut(j).assign(&repaired.column(j));
                    }
                    Stage::Complete(jacobian)
                }
                Stage::ComplexStep(step) => {
                    self.doubt_zeros(&place, Kept(step.into_jacobian()), Zeros::Rows)
                }
                Stage::Dependence { jacobian, zeros, columns, dependence } => {
                    self.judge_dependence(&place, jacobian, zeros, &columns, &dependence)
                }
                complete => complete,
            };
            self.task = Some(Task { place, stage });
        }
    }

    /// Two points, where the rule is not about points.
    fn scheme(&self) -> Scheme {
        match self.rule {
            Rule::Differences(scheme) => scheme,
            Rule::ComplexStep => Scheme::TwoPoint,
        }
    }

    /// The differences that the rule and the refinement want.
    fn differences(&self, place: &Place<T>) -> FiniteDifferences<T> {
        let scheme = self.scheme();
        let Place { point, residual, .. } = place;
        let differences = match self.refinement {
            _ if self.amplification.is_empty() => {
                FiniteDifferences::new(scheme, point, residual, &self.distances)
            }
            Refinement::None => FiniteDifferences::new(scheme, point, residual, &self.distances),
            Refinement::Steps => self.refined(scheme, place),
            Refinement::Central => self.refined(Scheme::ThreePoint, place),
        };
        place.confine(differences)
    }

    /// Differences whose steps follow the size of each unknown as it is now, and the rounding of
    /// the rows that its column is in: an error ε of the terms of a row is an error `a ε` in
    /// relation to the term of this column, a being its amplification.
    fn refined(&self, scheme: Scheme, place: &Place<T>) -> FiniteDifferences<T> {
        let widest = match scheme {
            Scheme::TwoPoint => WIDEST[0],
            Scheme::ThreePoint => WIDEST[1],
        };
        let widest = self.distances.relative(scheme).max(widest);
        let components = place.point.iter().zip(&self.amplification).enumerate();
        let lengths = components.map(|(j, (x, amplification))| {
            let size = if x.is_zero() { self.distances.typical(j) } else { x.size() };
            let relative = scheme.balanced(self.distances.precision() * amplification);
            (relative.min(widest) * size).max(shortest::<T>())
        });
        let lengths = lengths.collect();
        FiniteDifferences::with_lengths(scheme, &place.point, &place.residual, lengths)
    }

    fn judge_differences(&mut self, place: &Place<T>, complete: FiniteDifferences<T>) -> Stage<T> {
        let coarse = complete.are_coarse() && !self.coarseness_is_explained;
        let with_room: Vec<bool> = (0..place.point.len()).map(|j| complete.has_room(j)).collect();
        let jacobian = complete.into_jacobian();
        self.amplification = amplification(&jacobian, place);
        self.constant_columns = constant_still(&jacobian, &self.constant_columns);
        let zero = unless(zero_columns(&jacobian), &self.constant_columns);
        let zero = both(zero, &with_room);
        let jacobian = Kept(jacobian);
        if zero.contains(&true) && self.distances.choice_is_lost(self.scheme()) {
            self.distances.forget_choice();
            Stage::Differences(self.differences(place))
        } else if zero.contains(&true) {
            self.probe(place, jacobian, zero, 0.0)
        } else if coarse && !self.distances.are_chosen() {
            self.probe(place, jacobian, with_room, 0.0)
        } else {
            Stage::Complete(jacobian)
        }
    }

    /// Asks F farther away than so far; where there is nothing farther, it is constant.
    fn probe(
        &mut self,
        place: &Place<T>,
        jacobian: Kept<T>,
        columns: Vec<bool>,
        so_far: f64,
    ) -> Stage<T> {
        let usual = self.distances.relative(Scheme::TwoPoint);
        let mut farther = FARTHER.into_iter().filter(|&far| far > so_far.max(8.0 * usual));
        let Some(relative) = farther.next() else {
            let zero = both(zero_columns(&jacobian.0), &columns);
            self.coarseness_is_explained |= !zero.contains(&true);
            mark(&mut self.constant_columns, zero);
            return Stage::Complete(jacobian);
        };
        let displacement = self.displacement(place, &columns, relative);
        let probe = Probe::new(&place.point, &place.residual, displacement, relative);
        Stage::Probe { jacobian, columns, probe }
    }

    fn judge_probe(
        &mut self,
        place: &Place<T>,
        jacobian: Kept<T>,
        columns: Vec<bool>,
        probe: &Probe<T>,
    ) -> Stage<T> {
        let precision = match probe.finding() {
            Some(Finding::Moved { precision }) => precision.min(LARGEST_ERROR),
            _ => return self.probe(place, jacobian, columns, probe.relative()),
        };
        let zero = both(zero_columns(&jacobian.0), &columns);
        let noise = precision > MORE * self.distances.precision();
        self.coarseness_is_explained |= noise || !zero.contains(&true);
        if noise {
            self.distances.coarsen(precision);
            self.distances.forget_choice();
            return Stage::Differences(self.differences(place));
        }
        let [equations, unknowns] = [place.residual.len(), place.point.len()];
        // Without memory for a second Jacobian the first one has to do.
        if !zero.contains(&true) || memory::expect(room::<T>(unknowns, equations)).is_err() {
            return Stage::Complete(jacobian);
        }
        let lengths = self.displacement(place, &zero, probe.relative());
        let lengths = lengths.into_iter().map(|length| length.abs().max(shortest::<T>())).collect();
        let Place { point, residual, .. } = place;
        let central = FiniteDifferences::with_lengths(Scheme::ThreePoint, point, residual, lengths);
        Stage::Repair { jacobian, differences: place.confine(central).only(&zero), columns: zero }
    }

    /// Looks for zeros of a complex step that the real parts may contradict: first rows, then
    /// columns.
    fn doubt_zeros(&mut self, place: &Place<T>, jacobian: Kept<T>, zeros: Zeros) -> Stage<T> {
        let (columns, next) = match zeros {
            Zeros::Rows => {
                let rows = unless(zero_rows(&jacobian.0), &self.constant_rows);
                (
                    rows.into_iter().any(|zero| zero).then(|| vec![true; place.point.len()]),
                    Some(Zeros::Columns),
                )
            }
            Zeros::Columns => {
                let columns: Vec<bool> =
                    unless(zero_columns(&jacobian.0), &self.constant_columns).collect();
                // If all are zero, so are all rows, which have been looked at.
                (Some(columns).filter(|c| c.contains(&true) && c.contains(&false)), None)
            }
        };
        match (columns, next) {
            (Some(columns), _) => {
                let displacement = self.displacement(place, &columns, FARTHER[0]);
                let dependence = Dependence::new(place, displacement);
                Stage::Dependence { jacobian, zeros, columns, dependence }
            }
            (None, Some(next)) => self.doubt_zeros(place, jacobian, next),
            (None, None) => Stage::Complete(jacobian),
        }
    }

    fn judge_dependence(
        &mut self,
        place: &Place<T>,
        jacobian: Kept<T>,
        zeros: Zeros,
        columns: &[bool],
        dependence: &Dependence<T>,
    ) -> Stage<T> {
        let shown: Vec<bool> = dependence.shown().collect();
        match zeros {
            Zeros::Rows => {
                let dropped = zero_rows(&jacobian.0).zip(&shown).position(|(zero, &s)| zero && s);
                if let Some(row) = dropped {
                    return Stage::NotAnalytic(Dropped::Component(row));
                }
                let still: Vec<bool> = dependence.still().collect();
                mark(&mut self.constant_rows, both(zero_rows(&jacobian.0), &still));
                self.doubt_zeros(place, jacobian, Zeros::Columns)
            }
            Zeros::Columns => {
                if shown.contains(&true) {
                    let column = columns.iter().position(|&asked| asked);
                    return Stage::NotAnalytic(Dropped::Unknown(column.unwrap_or_default()));
                }
                if dependence.still().all(|still| still) {
                    mark(&mut self.constant_columns, columns.to_vec());
                }
                Stage::Complete(jacobian)
            }
        }
    }

    /// How to go so far in these unknowns, in relation to their sizes and within the bounds.
    fn displacement(&self, place: &Place<T>, columns: &[bool], relative: f64) -> Vec<f64> {
        let sizes =
            place.point.iter().enumerate().map(|(j, x)| x.size().max(self.distances.typical(j)));
        let wanted =
            sizes.zip(columns).map(|(size, &asked)| if asked { relative * size } else { 0.0 });
        wanted.enumerate().map(|(j, length)| place.within_room(j, length)).collect()
    }
}

impl<T: Field> Place<T> {
    fn confine(&self, differences: FiniteDifferences<T>) -> FiniteDifferences<T> {
        match self.lower.is_empty() {
            true => differences,
            false => differences.within(&self.lower, &self.upper),
        }
    }

    /// So far from component j to the side where there is room, or as far as there is.
    fn within_room(&self, j: usize, length: f64) -> f64 {
        let Some((lower, upper)) = self.lower.get(j).zip(self.upper.get(j)) else { return length };
        let x = self.point[j].to_complex().re;
        let (below, above) = (x - lower, upper - x);
        let (room, side) = if above >= below { (above, 1.0) } else { (below, -1.0) };
        // The room was rounded, and so is the point.
        if length < room { side * length } else { side * 0.5 * room }
    }

    fn fits(&self, unknowns: usize, equations: usize) -> bool {
        let bounds = self.lower.len() == self.upper.len();
        self.point.len() == unknowns
            && self.residual.len() == equations
            && bounds
            && (self.lower.is_empty() || self.lower.len() == unknowns)
    }
}

impl<T: Field> Stage<T> {
    fn ask(&self) -> Option<Question<'_, T>> {
        match self {
            Stage::Differences(differences) | Stage::Repair { differences, .. } => {
                differences.ask().map(Question::At)
            }
            Stage::Probe { probe, .. } => probe.ask().map(Question::At),
            Stage::ComplexStep(step) => step.ask().map(Question::OffTheRealAxis),
            Stage::Dependence { dependence, .. } => dependence.ask().map(Question::At),
            Stage::Complete(_) | Stage::NotAnalytic(_) => None,
        }
    }

    /// Whether it has all its values and leads to another.
    fn is_ready(&self) -> bool {
        !self.is_last() && self.ask().is_none()
    }

    fn is_last(&self) -> bool {
        matches!(self, Stage::Complete(_) | Stage::NotAnalytic(_))
    }

    fn fits(&self, rule: Rule, unknowns: usize, equations: usize) -> bool {
        let kept = |kept: &Kept<T>| kept.0.dim() == (equations, unknowns);
        let flags = |flags: &[bool]| flags.len() == unknowns;
        let by_differences = matches!(rule, Rule::Differences(_));
        match self {
            Stage::Differences(differences) => {
                by_differences && differences.fits(unknowns, equations)
            }
            Stage::Probe { jacobian, columns, probe } => {
                by_differences
                    && kept(jacobian)
                    && flags(columns)
                    && probe.fits(unknowns, equations)
            }
            Stage::Repair { jacobian, columns, differences } => {
                by_differences
                    && kept(jacobian)
                    && flags(columns)
                    && differences.fits(unknowns, equations)
            }
            Stage::ComplexStep(step) => !by_differences && step.fits(unknowns, equations),
            Stage::Dependence { jacobian, columns, dependence, .. } => {
                !by_differences
                    && kept(jacobian)
                    && flags(columns)
                    && dependence.fits(unknowns, equations)
            }
            Stage::Complete(jacobian) => kept(jacobian),
            Stage::NotAnalytic(_) => !by_differences,
        }
    }
}

/// F at x + p and x + p/2, for real p: the linear part of F along p to second order is
///
///     4 F(x + p/2) − 3 F(x) − F(x + p).
#[derive(Deserialize, Serialize)]
#[serde(bound = "T: Field")]
struct Dependence<T: Field> {
    #[serde(with = "saved::vector")]
    residual: Vec<T>,
    #[serde(with = "saved::vector")]
    end: Vec<T>,
    #[serde(with = "saved::vector")]
    halfway: Vec<T>,
    #[serde(with = "saved::vectors")]
    values: Vec<Vec<T>>,
}

/// A linear part counts if it is such a share of what F changes by: that of an even function, whose
/// derivative is zero, is nothing but rounding and terms of fourth order.
const LINEAR: f64 = 1e-3;

impl<T: Field> Dependence<T> {
    fn new(place: &Place<T>, displacement: Vec<f64>) -> Self {
        let moved = |share: f64| {
            let components = place.point.iter().zip(&displacement);
            components.map(|(&x, length)| x + T::of(share * length)).collect()
        };
        Dependence {
            residual: place.residual.clone(),
            end: moved(1.0),
            halfway: moved(0.5),
            values: Vec::new(),
        }
    }

    fn ask(&self) -> Option<&[T]> {
        [&self.end, &self.halfway].get(self.values.len()).map(|point| &point[..])
    }

    fn tell(&mut self, value: &[T]) {
        if self.ask().is_some() {
            self.values.push(value.to_vec());
        }
    }

    /// Whether this value would be the last and show that F depends on x.
    fn would_show(&self, value: &[T]) -> bool {
        self.values.len() == 1 && self.linear(&self.values[0], value).any(|shown| shown)
    }

    /// Which components of F have a linear part.
    fn shown(&self) -> impl Iterator<Item = bool> {
        let values = self.values.first().zip(self.values.get(1));
        values.into_iter().flat_map(|(end, halfway)| self.linear(end, halfway))
    }

    fn linear(&self, end: &[T], halfway: &[T]) -> impl Iterator<Item = bool> {
        let values = self.residual.iter().zip(end.iter().zip(halfway));
        values.map(|(&f, (&end, &halfway))| {
            let linear = T::of(4.0) * (halfway - f) - (end - f);
            let change = (end - f).size().max((halfway - f).size());
            change > 0.0 && linear.size() > LINEAR * change
        })
    }

    /// Which components of F have not changed at all.
    fn still(&self) -> impl Iterator<Item = bool> {
        let same = |i: usize| self.values.iter().all(|value| value[i] == self.residual[i]);
        (0..self.residual.len()).map(same)
    }

    fn fits(&self, unknowns: usize, equations: usize) -> bool {
        self.end.len() == unknowns
            && self.halfway.len() == unknowns
            && self.residual.len() == equations
            && self.values.len() <= 2
            && self.values.iter().all(|value| value.len() == equations)
    }
}

/// aⱼ = maxᵢ (|Fᵢ| + (|J| |x|)ᵢ) / |Jᵢⱼ xⱼ|, over the rows that column j has a part in.
fn amplification<T: Field>(jacobian: &Array2<T>, place: &Place<T>) -> Vec<f64> {
    let mut rows: Vec<f64> = place.residual.iter().map(|f| f.size()).collect();
    for (column, x) in jacobian.columns().into_iter().zip(&place.point) {
        for (row, entry) in rows.iter_mut().zip(column) {
            *row += entry.size() * x.size();
        }
    }
    let columns = jacobian.columns().into_iter().zip(&place.point);
    let largest = columns.map(|(column, x)| {
        let ratios = rows.iter().zip(column).map(|(row, entry)| row / (entry.size() * x.size()));
        ratios.filter(|ratio| ratio.is_finite()).fold(1.0, f64::max)
    });
    largest.collect()
}

fn zero_columns<T: Field>(jacobian: &Array2<T>) -> impl Iterator<Item = bool> {
    jacobian.columns().into_iter().map(|column| column.iter().all(|entry| entry.is_zero()))
}

fn zero_rows<T: Field>(jacobian: &Array2<T>) -> impl Iterator<Item = bool> {
    jacobian.rows().into_iter().map(|row| row.iter().all(|entry| entry.is_zero()))
}

fn both(flags: impl Iterator<Item = bool>, others: &[bool]) -> Vec<bool> {
    flags.zip(others).map(|(flag, &other)| flag && other).collect()
}

/// The flags without those of the exceptions, of which there may be none.
fn unless(flags: impl Iterator<Item = bool>, exceptions: &[bool]) -> impl Iterator<Item = bool> {
    let exceptions = exceptions.iter().copied().chain(std::iter::repeat(false));
    flags.zip(exceptions).map(|(flag, exception)| flag && !exception)
}

/// The columns that were found constant and are still zero.
fn constant_still<T: Field>(jacobian: &Array2<T>, constant: &[bool]) -> Vec<bool> {
    constant.iter().zip(zero_columns(jacobian)).map(|(&constant, zero)| constant && zero).collect()
}

fn mark(flags: &mut Vec<bool>, more: Vec<bool>) {
    if more.contains(&true) {
        flags.resize(more.len(), false);
        flags.iter_mut().zip(more).for_each(|(flag, more)| *flag |= more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// A function of real and of complex numbers, whose calls are counted.
    struct Problem<'a> {
        real: &'a dyn Fn(&[f64]) -> Vec<f64>,
        complex: &'a dyn Fn(&[c64]) -> Vec<c64>,
        calls: usize,
    }

    fn no_complex(_: &[c64]) -> Vec<c64> {
        unreachable!("differences ask for real points")
    }

    impl Problem<'_> {
        fn outcome(
            &mut self,
            approximator: &mut Approximator<f64>,
            x: &[f64],
            bounds: Option<(&[f64], &[f64])>,
        ) -> Result<Array2<f64>, Dropped> {
            approximator.begin(x, &(self.real)(x), bounds);
            loop {
                match approximator.ask() {
                    Some(Question::At(x)) => {
                        if let Some((lower, upper)) = bounds {
                            assert!(x.iter().zip(lower).all(|(x, lower)| x >= lower), "{x:?}");
                            assert!(x.iter().zip(upper).all(|(x, upper)| x <= upper), "{x:?}");
                        }
                        let value = (self.real)(x);
                        approximator.tell(&value)?;
                    }
                    Some(Question::OffTheRealAxis(x)) => {
                        let value = (self.complex)(x);
                        approximator.tell_off_the_real_axis(&value);
                    }
                    None => break,
                }
                self.calls += 1;
            }
            match approximator.take() {
                Some(Outcome::Jacobian(jacobian)) => Ok(jacobian),
                Some(Outcome::NotAnalytic(dropped)) => Err(dropped),
                None => unreachable!("nothing is asked"),
            }
        }
    }

    fn approximator(rule: Rule, x: &[f64]) -> Approximator<f64> {
        Approximator::new(rule, Distances::from_start(x, None))
    }

    fn differ(f: &dyn Fn(&[f64]) -> Vec<f64>, scheme: Scheme, x: &[f64]) -> (Array2<f64>, usize) {
        let mut problem = Problem { real: f, complex: &no_complex, calls: 0 };
        let mut approximator = approximator(Rule::Differences(scheme), x);
        let jacobian = problem.outcome(&mut approximator, x, None).unwrap();
        (jacobian, problem.calls)
    }

    fn error(jacobian: &Array2<f64>, exact: &Array2<f64>) -> f64 {
        (jacobian - exact).iter().fold(0.0, |largest, e| e.abs().max(largest))
    }

    const BOTH: [Scheme; 2] = [Scheme::TwoPoint, Scheme::ThreePoint];

    #[test]
    fn a_smooth_function_is_asked_at_the_points_of_the_differences_only() {
        let smooth = |x: &[f64]| vec![x[0].exp() * x[1], x[1].sin(), x[0] - x[1]];
        assert_eq!(differ(&smooth, Scheme::TwoPoint, &[0.7, -0.2]).1, 2);
        assert_eq!(differ(&smooth, Scheme::ThreePoint, &[0.7, -0.2]).1, 4);
        let linear = |x: &[f64]| vec![x[0] - 1.0, 2.0 * x[1]];
        assert_eq!(differ(&linear, Scheme::TwoPoint, &[1.0, 2.0]).1, 2);
    }

    #[test]
    fn single_precision_inside_is_found_and_remembered() {
        let inside = |x: &[f64]| {
            let (a, b) = (x[0] as f32, x[1] as f32);
            vec![f64::from(a.exp() * b), f64::from(b.sin())]
        };
        let exact = |x: &[f64]| array![[x[0].exp() * x[1], x[0].exp()], [0.0, x[1].cos()]];
        for scheme in BOTH {
            let mut approximator = approximator(Rule::Differences(scheme), &[0.7, 1.3]);
            let mut problem = Problem { real: &inside, complex: &no_complex, calls: 0 };
            for x in [[0.7, 1.3], [0.4, 2.1], [-1.0, 0.3]] {
                let jacobian = problem.outcome(&mut approximator, &x, None).unwrap();
                let tolerance = if scheme == Scheme::TwoPoint { 2e-3 } else { 2e-4 };
                assert!(error(&jacobian, &exact(&x)) < tolerance, "{scheme:?} {jacobian}");
            }
            assert!(approximator.precision() > 1e-8 && approximator.precision() < 1e-6);
            let points = if scheme == Scheme::TwoPoint { 2 } else { 4 };
            assert!(problem.calls <= 4 * points + 8, "{}", problem.calls);
        }
    }

    #[test]
    fn a_column_that_only_a_wider_step_moves_is_not_zero() {
        // The second unknown is far below the last digit of the constant.
        let f = |x: &[f64]| vec![x[0] * x[0], 1e9 + x[1]];
        let (jacobian, _) = differ(&f, Scheme::TwoPoint, &[1.3, 1.0]);
        assert!(error(&jacobian, &array![[2.6, 0.0], [0.0, 1.0]]) < 1e-3, "{jacobian}");
    }

    #[test]
    fn constant_columns_and_stationary_points_stay_zero() {
        let constant = |x: &[f64]| vec![x[0].sin(), x[0].exp()];
        let mut problem = Problem { real: &constant, complex: &no_complex, calls: 0 };
        let mut approximator = approximator(Rule::Differences(Scheme::TwoPoint), &[0.3, 1.0]);
        let jacobian = problem.outcome(&mut approximator, &[0.3, 1.0], None).unwrap();
        assert_eq!(jacobian.column(1), array![0.0, 0.0]);
        let first = problem.calls;
        problem.outcome(&mut approximator, &[0.4, 2.0], None).unwrap();
        assert_eq!((first, problem.calls), (4, 6), "it is asked farther away once");

        let even = |x: &[f64]| vec![9.0 + x[0] * x[0]];
        assert_eq!(differ(&even, Scheme::TwoPoint, &[0.0]), (array![[0.0]], 1 + 7 + 2));
    }

    #[test]
    fn whatever_is_looked_at_lies_within_the_bounds() {
        let inside = |x: &[f64]| vec![f64::from((x[0] as f32).exp()), f64::from(x[1] as f32)];
        let bounds: [(&[f64], &[f64]); 3] = [
            (&[0.7, -1.0], &[0.7 + 1e-9, 5.0]),
            (&[0.0, 1.3], &[0.7, 1.3]),
            (&[0.7; 2], &[0.7; 2]),
        ];
        for scheme in BOTH {
            for (lower, upper) in bounds {
                let x: Vec<f64> = [0.7f64, 1.3]
                    .iter()
                    .zip(lower)
                    .zip(upper)
                    .map(|((x, &lower), &upper)| x.clamp(lower, upper))
                    .collect();
                let mut problem = Problem { real: &inside, complex: &no_complex, calls: 0 };
                let mut approximator = approximator(Rule::Differences(scheme), &x);
                problem.outcome(&mut approximator, &x, Some((lower, upper))).unwrap();
            }
        }
    }

    #[test]
    fn a_refinement_follows_the_rounding_of_the_rows() {
        // x[0] is lost beside x[1] in the first row, and has a row of its own.
        let f = |x: &[f64]| vec![x[0] + x[1] / 3.0 - 1e-3, x[0] * x[1] - 1e-10];
        let (x, mut errors) = ([1.1e-7, 3.1e-3], Vec::new());
        for times in [0, 1, 2] {
            let mut problem = Problem { real: &f, complex: &no_complex, calls: 0 };
            let mut approximator = approximator(Rule::Differences(Scheme::TwoPoint), &x);
            problem.outcome(&mut approximator, &x, None).unwrap();
            approximator.refine(times);
            let jacobian = problem.outcome(&mut approximator, &x, None).unwrap();
            errors.push((jacobian[[0, 0]] - 1.0).abs());
        }
        assert!(errors[0] > 1e-5 && errors[1] < 3e-6 && errors[2] < 1e-8, "{errors:?}");
    }

    fn step(
        real: &dyn Fn(&[f64]) -> Vec<f64>,
        complex: &dyn Fn(&[c64]) -> Vec<c64>,
    ) -> (Result<Array2<f64>, Dropped>, usize) {
        let mut problem = Problem { real, complex, calls: 0 };
        let mut approximator = approximator(Rule::ComplexStep, &[0.7, -1.3]);
        (problem.outcome(&mut approximator, &[0.7, -1.3], None), problem.calls)
    }

    #[test]
    fn the_complex_step_refuses_what_drops_imaginary_parts() {
        let real = |z: c64| c64::new(z.re, 0.0);
        let all = step(&|x| vec![x[0] * x[1], x[0].exp()], &|z| {
            vec![real(z[0] * z[1]), real(z[0].exp())]
        });
        assert_eq!(all.0, Err(Dropped::All));
        let row = step(&|x| vec![x[0] * x[1], x[0].abs()], &|z| vec![z[0] * z[1], real(z[0])]);
        assert_eq!(row.0, Err(Dropped::Component(1)));
        let column =
            step(&|x| vec![x[0] + x[1], x[0] - x[1]], &|z| vec![z[0] + z[1].re, z[0] - z[1].re]);
        assert_eq!(column.0, Err(Dropped::Unknown(1)));
    }

    #[test]
    fn the_complex_step_takes_what_is_constant_or_stationary() {
        let constant = step(&|_| vec![1.0, 2.0], &|_| vec![1.0.into(), 2.0.into()]);
        assert_eq!(constant, (Ok(Array2::zeros((2, 2))), 4));
        let partly = step(&|x| vec![x[0].exp(), 2.0], &|z| vec![z[0].exp(), 2.0.into()]);
        assert!(partly.0.is_ok());
        let mut problem =
            Problem { real: &|x| vec![x[0].cos()], complex: &|z| vec![z[0].cos()], calls: 0 };
        let mut approximator = approximator(Rule::ComplexStep, &[0.0]);
        assert_eq!(problem.outcome(&mut approximator, &[0.0], None), Ok(array![[0.0]]));
    }

    #[test]
    fn nothing_is_changed_by_what_is_refused() {
        let mut approximator = approximator(Rule::ComplexStep, &[1.0]);
        approximator.begin(&[1.0], &[1.0], None);
        approximator.tell_off_the_real_axis(&[1.0.into()]);
        approximator.tell(&[1.1]).unwrap();
        for _ in 0..2 {
            let question = format!("{:?}", approximator.ask());
            assert_eq!(approximator.tell(&[1.05]), Err(Dropped::All));
            assert_eq!(format!("{:?}", approximator.ask()), question);
        }
    }
}
