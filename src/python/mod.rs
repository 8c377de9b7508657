//! Every line that knows of Python: reading what users give, answering the kernels with users'
//! callables, and building what users get back.

mod arrays;
pub mod broyden;
mod callable;
mod lapack;
pub mod lsqtr;
pub mod newton;
mod numbers;
mod options;
mod results;
pub mod root;
pub mod solver;
mod text;
mod unknowns;
