//! What `lsqtr` prints: DESC's table and messages.

use pyo3::prelude::*;
use pyo3::types::PyFloat;

use crate::kernels::lsqtr::solver::{LeastSquares, Options};
use crate::kernels::lsqtr::subproblem::Method;
use crate::kernels::lsqtr::termination::{Stop, Termination};
use crate::python::text::formatted;

/// A number as Python's format has it.
fn number(py: Python<'_>, value: f64, specification: &str) -> PyResult<String> {
    formatted(&PyFloat::new(py, value), specification)
}

/// Why the iteration ended, in DESC's words where it has any, and what speaks against a success.
pub fn message(py: Python<'_>, solver: &LeastSquares, stop: Stop) -> PyResult<String> {
    let mut message = reason(py, stop, &solver.options().termination)?;
    if let (Stop::Confined, Some(point)) = (stop, solver.undefined_at()) {
        message.push_str(&listed(py, point)?);
    }
    if stop.success() && solver.optimality_is_large() {
        message.push_str(&format!(
            "\nBut the relative optimality is large ({}): unless f is zero but for rounding, x may be \
             far from a minimum, and the tolerances too loose.",
            number(py, solver.relative_optimality(), ".2e")?
        ));
    }
    Ok(message)
}

/// The first few numbers of a vector.
fn listed(py: Python<'_>, vector: &[f64]) -> PyResult<String> {
    let (shown, dots) = match vector.len() {
        0..=SHOWN => (vector, ""),
        _ => (&vector[..SHOWN], ", ..."),
    };
    let numbers = shown.iter().map(|&value| number(py, value, ".6g"));
    Ok(format!("[{}{dots}]", numbers.collect::<PyResult<Vec<_>>>()?.join(", ")))
}

/// How many numbers of a vector a message has.
const SHOWN: usize = 8;

fn reason(py: Python<'_>, stop: Stop, limits: &Termination) -> PyResult<String> {
    let satisfied = |name: &str, tolerance: f64| -> PyResult<String> {
        Ok(format!("`{name}` condition satisfied. ({name}={})", number(py, tolerance, ".2e")?))
    };
    Ok(match stop {
        Stop::Converged { cost, step } => {
            let mut lines = vec!["Optimization terminated successfully.".to_string()];
            if cost {
                lines.push(satisfied("ftol", limits.cost)?);
            }
            if step {
                lines.push(satisfied("xtol", limits.step)?);
            }
            lines.join("\n")
        }
        Stop::SmallGradient => satisfied("gtol", limits.gradient)?,
        Stop::SmallRelativeGradient => satisfied("relative_gtol", limits.relative_gradient)?,
        Stop::OutOfIterations => "Maximum number of iterations has been exceeded.".into(),
        Stop::OutOfEvaluations => {
            "Maximum number of function evaluations has been exceeded.".into()
        }
        Stop::ShortStep => "A bad approximation caused failure to predict improvement.".into(),
        Stop::TooFar => format!(
            "The point is farther from x0 than max_dx allows. (max_dx={})",
            number(py, limits.distance, ".2e")?
        ),
        Stop::Interrupted { .. } => "User supplied callback triggered termination".into(),
        Stop::NonFiniteResidual => "The residual at x0 has NaN or inf, or overflows.".into(),
        Stop::Confined => "The steps are short only because the residual has NaN or inf beyond \
                           them, the last time at x = "
            .into(),
        Stop::NonFiniteJacobian => "The Jacobian has NaN or inf, or overflows.".into(),
        Stop::NotAnalytic => "The complex step cannot give the Jacobian.".into(),
        Stop::Noise => "Converged as far as the rounding errors of fun let it, which computes in \
                        less than double precision."
            .into(),
    })
}

/// The numeric status of a result.
pub fn status(stop: Stop) -> i32 {
    match stop {
        Stop::SmallGradient => 1,
        Stop::SmallRelativeGradient => 5,
        Stop::Converged { cost: true, step: false } => 2,
        Stop::Converged { cost: false, .. } => 3,
        Stop::Converged { cost: true, step: true } => 4,
        Stop::OutOfIterations => 0,
        Stop::OutOfEvaluations => -1,
        Stop::ShortStep => -2,
        Stop::TooFar => -3,
        Stop::Interrupted { .. } => -4,
        Stop::NonFiniteResidual => -5,
        Stop::NonFiniteJacobian => -6,
        Stop::Noise => 6,
        Stop::Confined => -7,
        Stop::NotAnalytic => -8,
    }
}

/// The settings, as verbose = 3 shows them.
pub fn settings(py: Python<'_>, options: &Options, first_radius: f64) -> PyResult<String> {
    let (limits, radius) = (&options.termination, &options.radius);
    let method = match options.method {
        Method::Qr => "qr",
        Method::Svd => "svd",
        Method::Cholesky => "cho",
    };
    let scaled = if options.scaled_termination { "True" } else { "False" };
    let general = |value| number(py, value, ".3e");
    let entries = [
        ("Maximum Function Evaluations", limits.evaluations.to_string()),
        ("Maximum Allowed Total Δx Norm", general(limits.distance)?),
        ("Scaled Termination", scaled.into()),
        ("Trust Region Method", method.into()),
        ("Initial Trust Radius", general(first_radius)?),
        ("Maximum Trust Radius", general(radius.largest)?),
        ("Minimum Trust Radius", general(limits.shortest_step)?),
        ("Trust Radius Increase Ratio", general(radius.increase_ratio)?),
        ("Trust Radius Decrease Ratio", general(radius.decrease_ratio)?),
        ("Trust Radius Increase Threshold", general(radius.increase_threshold)?),
        ("Trust Radius Decrease Threshold", general(radius.decrease_threshold)?),
    ];
    let line = "-".repeat(60);
    let entries = entries.map(|(name, value)| format!("{name:<35}: {value}\n")).concat();
    Ok(format!("Solver options:\n{line}\n{entries}{line} \n\n"))
}

const TITLES: [&str; 6] =
    ["Iteration", "Total nfev", "Cost", "Cost reduction", "Step norm", "Optimality"];

pub fn header() -> String {
    format!("{}\n", TITLES.map(|title| format!("{title:^15}")).concat())
}

/// The row of the last iteration.
pub fn row(py: Python<'_>, solver: &LeastSquares) -> PyResult<String> {
    let report = solver.report();
    let mut row = format!("{:^15}{:^15}", solver.iterations(), solver.evaluations());
    for value in [solver.cost(), report.reduction, report.step, solver.optimality()] {
        let text = if value.is_infinite() { String::new() } else { number(py, value, ".3e")? };
        row.push_str(&format!("{text:^15}"));
    }
    row.push('\n');
    Ok(row)
}

/// What verbose ≥ 1 says at the end; `distance` is ‖x − x₀‖.
pub fn summary(
    py: Python<'_>,
    solver: &LeastSquares,
    success: bool,
    message: &str,
    distance: f64,
) -> PyResult<String> {
    let warning = if success { "" } else { "Warning: " };
    Ok(format!(
        "{warning}{message}\n\
         {indent}Current function value: {cost}\n\
         {indent}Total delta_x: {distance}\n\
         {indent}Iterations: {iterations}\n\
         {indent}Function evaluations: {evaluations}\n\
         {indent}Jacobian evaluations: {jacobians}\n",
        indent = " ".repeat(9),
        cost = number(py, solver.cost(), ".3e")?,
        distance = number(py, distance, ".3e")?,
        iterations = solver.iterations(),
        evaluations = solver.evaluations(),
        jacobians = solver.jacobians(),
    ))
}
