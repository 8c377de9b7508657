//! The search of Moré and Thuente for a length that satisfies the strong Wolfe conditions
//!
//!     φ(s) ≤ φ(0) + μ s φ'(0)      the decrease is sufficient,
//!     |φ'(s)| ≤ η |φ'(0)|          the curvature condition.
//!
//! It keeps an interval that has the best trial so far at one end and that shrinks, once a
//! minimiser is bracketed, around it. A trial s replaces an end, and the next is chosen from the
//! cubics, parabolas and secants through the ends and s. In the first stage the minimiser is one of
//!
//!     ψ(s) = φ(s) − φ(0) − μ s φ'(0),
//!
//! in the second, which begins at the first s with ψ(s) ≤ 0 and φ'(s) ≥ 0, of φ itself.
//!
//! The cubic with values f and slopes g at two lengths s and t has its minimiser at
//!
//!     s + (t − s) (γ − g(s) + θ) / (2γ − g(s) + g(t)),
//!     θ = 3 (f(s) − f(t)) / (t − s) + g(s) + g(t),   γ = ±√(θ² − g(s) g(t)),
//!
//! γ having the sign of t − s.
//!
//! Reference: J. J. Moré, D. J. Thuente, "Line search algorithms with guaranteed sufficient
//! decrease", ACM Transactions on Mathematical Software 20(3), 1994, 286–307.

use super::{Ask, power};
use serde::{Deserialize, Serialize};

/// A bracket is bisected unless two trials shrink it to this part.
const SHRINKAGE: f64 = 0.66;
/// Without a bracket, the next length lies beyond the last by this much of the distance from the
/// best trial, at least and at most.
const EXTRAPOLATION: [f64; 2] = [1.1, 4.0];

/// What is asked of a length, and when to give up; no number is negative.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Limits {
    /// μ
    pub sufficient_decrease: f64,
    /// η
    pub curvature: f64,
    /// Width of a bracket, relative to its upper end, that is too narrow to go on.
    pub relative_width: f64,
    pub shortest: f64,
    pub longest: f64,
    /// Evaluations, of which the last comes too late to be judged; SciPy makes it nevertheless.
    pub trials: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct MoreThuente {
    start: Trial,
    interval: Interval,
    /// Where the next length is looked for.
    range: Range,
    /// Widths of the interval at the last trial but one and at the last.
    widths: [f64; 2],
    /// The length to evaluate.
    step: f64,
    trials: u32,
    limits: Limits,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Phase {
    /// Looking for a minimiser of ψ.
    FirstStage,
    /// Looking for a minimiser of φ.
    SecondStage,
    Done(Option<f64>),
}

impl MoreThuente {
    /// `merit` is φ(0) and `slope` φ'(0).
    pub fn new(merit: f64, slope: f64, limits: Limits) -> Self {
        let start = Trial { step: 0.0, value: merit, slope };
        let step = 1.0;
        let width = limits.longest - limits.shortest;
        let mut search = MoreThuente {
            start,
            interval: Interval { best: start, other: start, bracketed: false },
            range: Range { low: 0.0, high: step + EXTRAPOLATION[1] * step },
            widths: [2.0 * width, width],
            step,
            trials: 0,
            limits,
            phase: Phase::FirstStage,
        };
        if search.hopeless() {
            search.phase = Phase::Done(None);
        }
        search
    }

    /// Not a descent, or no length that may be tried. A slope that is NaN does not count as ascent.
    fn hopeless(&self) -> bool {
        let Limits { shortest, longest, trials, .. } = self.limits;
        self.start.slope >= 0.0 || self.step < shortest || self.step > longest || trials == 0
    }

    /// Whether it was begun with these limits and is within them; what was saved may not be.
    pub fn fits(&self, limits: Limits) -> bool {
        let ended = matches!(self.phase, Phase::Done(_));
        self.limits == limits && (ended || self.trials < limits.trials)
    }

    pub fn ask(&self) -> Ask {
        match self.phase {
            Phase::Done(accepted) => Ask::Done(accepted),
            _ => Ask::MeritAndSlope(self.step),
        }
    }

    pub fn tell(&mut self, merit: f64, slope: f64) {
        let trial = Trial { step: self.step, value: merit, slope };
        self.phase = match self.phase {
            Phase::FirstStage => self.tell_first_stage(&trial),
            Phase::SecondStage => self.tell_second_stage(&trial),
            done @ Phase::Done(_) => done,
        }
    }

    fn tell_first_stage(&mut self, trial: &Trial) -> Phase {
        if self.decreased(trial) && trial.slope >= 0.0 {
            return self.tell_second_stage(trial);
        }
        self.verdict(trial).unwrap_or_else(|| {
            if trial.value <= self.interval.best.value && self.too_high(trial) {
                self.shrink_by_excess(trial);
            } else {
                self.shrink_by_merit(trial);
            }
            self.advance(Phase::FirstStage)
        })
    }

    fn tell_second_stage(&mut self, trial: &Trial) -> Phase {
        self.verdict(trial).unwrap_or_else(|| {
            self.shrink_by_merit(trial);
            self.advance(Phase::SecondStage)
        })
    }

    /// How the search ends with this trial, if it does.
    fn verdict(&mut self, trial: &Trial) -> Option<Phase> {
        self.trials += 1;
        if self.trials == self.limits.trials {
            Some(Phase::Done(None))
        } else if self.decreased(trial) && self.flat(trial) {
            Some(Phase::Done(Some(trial.step)))
        } else if self.exhausted(trial.step) || self.at_a_limit(trial) {
            Some(Phase::Done(None))
        } else {
            None
        }
    }

    /// μ φ'(0)
    fn tilt(&self) -> f64 {
        self.limits.sufficient_decrease * self.start.slope
    }

    /// φ(0) + μ s φ'(0)
    fn bound(&self, step: f64) -> f64 {
        self.start.value + step * self.tilt()
    }

    fn decreased(&self, trial: &Trial) -> bool {
        trial.value <= self.bound(trial.step)
    }

    /// Not the opposite of `decreased`: a NaN is neither.
    fn too_high(&self, trial: &Trial) -> bool {
        trial.value > self.bound(trial.step)
    }

    fn flat(&self, trial: &Trial) -> bool {
        trial.slope.abs() <= self.limits.curvature * -self.start.slope
    }

    /// The bracket has no room for another trial at `step`, or none for any.
    fn exhausted(&self, step: f64) -> bool {
        let Range { low, high } = self.range;
        let narrow = high - low <= self.limits.relative_width * high;
        self.interval.bracketed && (step <= low || step >= high || narrow)
    }

    /// The search would have to go on beyond the longest or the shortest length.
    fn at_a_limit(&self, trial: &Trial) -> bool {
        let Limits { shortest, longest, .. } = self.limits;
        let descending = self.decreased(trial) && trial.slope <= self.tilt();
        let ascending = self.too_high(trial) || trial.slope >= self.tilt();
        (trial.step == longest && descending) || (trial.step == shortest && ascending)
    }

    fn shrink_by_merit(&mut self, trial: &Trial) {
        self.step = self.interval.next_step(trial, &self.range);
        self.interval.replace_end(trial);
    }

    /// As `shrink_by_merit`, with ψ + φ(0) in place of φ.
    fn shrink_by_excess(&mut self, trial: &Trial) {
        let tilt = self.tilt();
        self.interval.tilt(-tilt);
        self.shrink_by_merit(&trial.tilted(-tilt));
        self.interval.tilt(tilt);
    }

    /// Keeps the length that was chosen within its limits.
    fn advance(&mut self, stage: Phase) -> Phase {
        if self.interval.bracketed {
            self.bisect_if_slow();
        }
        self.range = self.interval.range(self.step);
        self.step = clip(self.step, self.limits.shortest, self.limits.longest);
        if self.exhausted(self.step) {
            self.step = self.interval.best.step;
        }
        if self.step.is_finite() { stage } else { Phase::Done(None) }
    }

    fn bisect_if_slow(&mut self) {
        let [before_last, last] = self.widths;
        let Interval { best, other, .. } = self.interval;
        let width = other.step - best.step;
        if width.abs() >= SHRINKAGE * before_last {
            self.step = best.step + 0.5 * width;
        }
        self.widths = [last, width.abs()];
    }
}

/// A length with φ and φ', or with ψ and ψ'.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Trial {
    step: f64,
    value: f64,
    slope: f64,
}

impl Trial {
    /// With the line through 0 of this slope added.
    fn tilted(&self, slope: f64) -> Trial {
        Trial { value: self.value + self.step * slope, slope: self.slope + slope, ..*self }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Range {
    low: f64,
    high: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Interval {
    /// The trial with the least value.
    best: Trial,
    other: Trial,
    /// A minimiser is known to lie between the ends.
    bracketed: bool,
}

impl Interval {
    fn tilt(&mut self, slope: f64) {
        self.best = self.best.tilted(slope);
        self.other = self.other.tilted(slope);
    }

    fn range(&self, step: f64) -> Range {
        let Interval { best, other, bracketed } = self;
        if *bracketed {
            Range { low: best.step.min(other.step), high: best.step.max(other.step) }
        } else {
            let [low, high] = EXTRAPOLATION.map(|factor| step + factor * (step - best.step));
            Range { low, high }
        }
    }

    /// The trial takes the place of one of the ends.
    fn replace_end(&mut self, trial: &Trial) {
        let higher = trial.value > self.best.value;
        let turned = opposite_slopes(&self.best, trial);
        if higher {
            self.other = *trial;
        } else {
            if turned {
                self.other = self.best;
            }
            self.best = *trial;
        }
        self.bracketed |= higher || turned;
    }

    /// Where to try next: the four cases of section 4 of the reference.
    fn next_step(&self, trial: &Trial, range: &Range) -> f64 {
        let best = &self.best;
        if trial.value > best.value {
            step_below_higher_value(best, trial)
        } else if opposite_slopes(best, trial) {
            step_between_opposite_slopes(best, trial)
        } else if trial.slope.abs() < best.slope.abs() {
            self.step_along_flattening_slope(trial, range)
        } else {
            self.step_along_steepening_slope(trial, range)
        }
    }

    /// Case 3: lower, with a slope of the same sign but smaller. Within a bracket the nearer of
    /// cubic and secant, and not too close to the bracket's other end; without one the farther.
    fn step_along_flattening_slope(&self, trial: &Trial, range: &Range) -> f64 {
        let Interval { best, other, bracketed } = self;
        let outwards = trial.step > best.step;
        let end_of_range = if outwards { range.high } else { range.low };
        let cubic = Cubic::through(best, trial).minimiser_beyond(trial, best);
        let cubic = cubic.unwrap_or(end_of_range);
        let secant = secant_zero(best, trial);
        let [to_cubic, to_secant] = [cubic, secant].map(|step| (step - trial.step).abs());
        if !bracketed {
            let farther = if to_cubic > to_secant { cubic } else { secant };
            return clip(farther, range.low, range.high);
        }
        let nearer = if to_cubic < to_secant { cubic } else { secant };
        let farthest = trial.step + SHRINKAGE * (other.step - trial.step);
        if outwards { nearer.min(farthest) } else { nearer.max(farthest) }
    }

    /// Case 4: lower, with a slope of the same sign and no smaller.
    fn step_along_steepening_slope(&self, trial: &Trial, range: &Range) -> f64 {
        if self.bracketed {
            Cubic::through(&self.other, trial).minimiser(trial, &self.other)
        } else if trial.step > self.best.step {
            range.high
        } else {
            range.low
        }
    }
}

/// False where a slope is zero or NaN.
fn opposite_slopes(best: &Trial, trial: &Trial) -> bool {
    (best.slope < 0.0 && trial.slope > 0.0) || (best.slope > 0.0 && trial.slope < 0.0)
}

/// Case 1: the trial is higher, which brackets a minimiser. The cubic where it is nearer to the
/// best trial than the parabola, otherwise halfway between the two.
fn step_below_higher_value(best: &Trial, trial: &Trial) -> f64 {
    let cubic = Cubic::through(best, trial).minimiser(best, trial);
    let parabola = parabola_minimiser(best, trial);
    if (cubic - best.step).abs() <= (parabola - best.step).abs() {
        cubic
    } else {
        cubic + (parabola - cubic) / 2.0
    }
}

/// Case 2: lower, with a slope of the other sign, which brackets a minimiser. The farther of cubic
/// and secant.
fn step_between_opposite_slopes(best: &Trial, trial: &Trial) -> f64 {
    let cubic = Cubic::through(best, trial).minimiser(trial, best);
    let secant = secant_zero(best, trial);
    if (cubic - trial.step).abs() > (secant - trial.step).abs() { cubic } else { secant }
}

/// The minimiser of the parabola with the value and slope of `best` and the value of `trial`.
fn parabola_minimiser(best: &Trial, trial: &Trial) -> f64 {
    let distance = trial.step - best.step;
    let descent = (best.value - trial.value) / distance;
    best.step + best.slope / (descent + best.slope) / 2.0 * distance
}

/// The zero of the line through both slopes.
fn secant_zero(best: &Trial, trial: &Trial) -> f64 {
    trial.step + trial.slope / (trial.slope - best.slope) * (best.step - trial.step)
}

/// The cubic with the values and slopes of two trials.
struct Cubic {
    theta: f64,
    /// |γ|; NaN if the cubic has no minimiser.
    gamma: f64,
}

impl Cubic {
    /// Sums are rounded in the order of the arguments.
    fn through(end: &Trial, trial: &Trial) -> Self {
        let chord = 3.0 * (end.value - trial.value) / (trial.step - end.step);
        let theta = chord + end.slope + trial.slope;
        // The squares in units of the largest number, so that they do not overflow.
        let scale = theta.abs().max(end.slope.abs()).max(trial.slope.abs());
        let square = power(theta / scale, 2.0) - (end.slope / scale) * (trial.slope / scale);
        Cubic { theta, gamma: scale * square.sqrt() }
    }

    /// The minimiser, from one of the two trials towards the other.
    fn minimiser(&self, from: &Trial, to: &Trial) -> f64 {
        let gamma = towards(from, to, self.gamma);
        let numerator = (gamma - from.slope) + self.theta;
        let denominator = ((gamma - from.slope) + gamma) + to.slope;
        from.step + numerator / denominator * (to.step - from.step)
    }

    /// The minimiser, if it lies on the side of `from` that is away from `to`. With γ = 0 the cubic
    /// only levels off.
    fn minimiser_beyond(&self, from: &Trial, to: &Trial) -> Option<f64> {
        let gamma = towards(from, to, self.gamma);
        let numerator = (gamma - from.slope) + self.theta;
        let denominator = (gamma + (to.slope - from.slope)) + gamma;
        let ratio = numerator / denominator;
        let minimiser = from.step + ratio * (to.step - from.step);
        (ratio < 0.0 && gamma != 0.0).then_some(minimiser)
    }
}

/// γ with the sign of the direction.
fn towards(from: &Trial, to: &Trial, gamma: f64) -> f64 {
    if to.step < from.step { -gamma } else { gamma }
}

/// `step` within bounds, the upper one if they are crossed; NaN stays NaN.
fn clip(step: f64, low: f64, high: f64) -> f64 {
    if step.is_nan() { step } else { step.max(low).min(high) }
}

#[cfg(test)]
mod tests {
    use super::super::{LineSearch, tests::run};
    use super::*;

    /// Those of Broyden's methods.
    const LIMITS: Limits = Limits {
        sufficient_decrease: 1e-4,
        curvature: 0.9,
        relative_width: 1e-2,
        shortest: 1e-2,
        longest: 50.0,
        trials: 100,
    };

    fn search(phi: impl Fn(f64) -> (f64, f64)) -> (Vec<f64>, Option<f64>) {
        let (merit, slope) = phi(0.0);
        run(LineSearch::MoreThuente(MoreThuente::new(merit, slope, LIMITS)), phi)
    }

    /// Function (5.1) of the reference, β = 2, with its slope.
    fn rational(scale: f64) -> impl Fn(f64) -> (f64, f64) {
        move |step| {
            let t = scale * step;
            let d = t * t + 2.0;
            (-t / d, scale * (t * t - 2.0) / (d * d))
        }
    }

    /// Function (5.2) of the reference, β = 0.004, with its slope.
    fn quintic(scale: f64) -> impl Fn(f64) -> (f64, f64) {
        move |step| {
            let t = scale * step + 0.004;
            let value = t * t * t * t * t - 2.0 * t * t * t * t;
            (value, scale * (t * t * t * (5.0 * t - 8.0)))
        }
    }

    #[test]
    fn cubics_and_parabolas_are_minimised() {
        let trial = |step: f64, value, slope| Trial { step, value, slope };
        // 1 − 2s + s² at 0 and 3
        let (start, end) = (trial(0.0, 1.0, -2.0), trial(3.0, 4.0, 4.0));
        assert_eq!(parabola_minimiser(&start, &end), 1.0);
        assert_eq!(secant_zero(&start, &end), 1.0);
        // s³ − 3s at 0, 1/2 and 2
        let (start, end) = (trial(0.0, 0.0, -3.0), trial(2.0, 2.0, 9.0));
        let middle = trial(0.5, -1.375, -2.25);
        assert_eq!(Cubic::through(&start, &end).minimiser(&start, &end), 1.0);
        let cubic = Cubic::through(&start, &middle);
        assert_eq!(cubic.minimiser_beyond(&middle, &start), Some(1.0));
        assert_eq!(cubic.minimiser_beyond(&start, &middle), None);
    }

    #[test]
    fn an_ascent_is_not_searched() {
        assert_eq!(search(|s| (1.0 + s, 1.0)), (vec![], None));
        assert_eq!(search(|_| (1.0, 0.0)), (vec![], None));
    }

    #[test]
    fn the_last_trial_is_not_judged() {
        let mut search = MoreThuente::new(1.0, -1.0, Limits { trials: 1, ..LIMITS });
        search.tell(0.5, 0.0);
        assert_eq!(search.ask(), Ask::Done(None));
    }

    #[test]
    fn a_search_beyond_its_limits_does_not_fit() {
        let search = MoreThuente::new(1.0, -1.0, LIMITS);
        assert!(search.fits(LIMITS));
        assert!(!MoreThuente { trials: u32::MAX, ..search.clone() }.fits(LIMITS));
        let endless = Limits { trials: u32::MAX, ..LIMITS };
        assert!(!MoreThuente { limits: endless, ..search }.fits(LIMITS));
    }

    // The lengths below were recorded from SciPy 1.17.1.

    #[test]
    fn a_step_into_a_falling_merit_is_lengthened() {
        assert_eq!(search(rational(0.01)), (vec![1.0, 5.0, 21.0, 50.0], Some(50.0)));
    }

    #[test]
    fn a_step_beyond_the_minimiser_is_shortened() {
        let tried = [1.0, 0.3332835222291084, 0.11107840000608273, 0.037022246664785034];
        assert_eq!(search(rational(3000.0)), (tried.to_vec(), Some(0.037022246664785034)));
    }

    #[test]
    fn a_narrow_minimum_is_found_in_its_bracket() {
        let tried = [
            1.0,
            0.2247819460654079,
            0.0530063360282655,
            0.11399344854817182,
            0.058607902494131225,
            0.053184320803824875,
            0.05320000033453559,
        ];
        assert_eq!(search(quintic(30.0)), (tried.to_vec(), Some(0.05320000033453559)));
    }

    #[test]
    fn a_bracket_without_room_ends_the_search_at_its_best_trial() {
        let tried = [
            1.0,
            5.0,
            21.0,
            7.867898962804494,
            5.2910141938246955,
            5.320166032237774,
            5.320166032237774,
        ];
        assert_eq!(search(quintic(0.3)), (tried.to_vec(), None));
    }

    #[test]
    fn the_search_ends_at_the_longest_and_shortest_lengths() {
        assert_eq!(search(|s| (1.0 - s, -1.0)), (vec![1.0, 5.0, 21.0, 50.0], None));
        let (tried, accepted) = search(|s| (1.0 + s, -1.0));
        assert_eq!((tried, accepted), (vec![1.0, 0.09175170953613694, 0.01], None));
    }

    #[test]
    fn an_infinite_merit_ends_the_search() {
        let wall = |s: f64| if s > 0.5 { (f64::INFINITY, f64::NAN) } else { (1.0 - s, -1.0) };
        assert_eq!(search(wall), (vec![1.0], None));
    }

    #[test]
    fn a_search_among_nans_ends() {
        let (tried, accepted) = search(|s| (if s == 0.0 { 1.0 } else { f64::NAN }, -1.0));
        assert_eq!((tried.len(), tried[99], accepted), (100, 50.0, None));
    }
}
