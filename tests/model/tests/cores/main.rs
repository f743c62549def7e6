//! Models in which every thread is a core, or a thread on a core of its own.

mod bell;
mod idle;
mod lock;
mod mail;
mod owner;
mod places;
mod rest;
mod routes;
mod shapes;
mod sleep;
