//! Behaviour at the boundary: over HTTP, over the command line, at real endpoints. One module per story.

mod api_contract;
mod arcgis;
mod auth;
mod check;
mod cli;
mod cx;
mod dialogflow;
mod durability;
mod engine;
mod events;
mod functions;
mod ill_behaved;
mod inbound;
mod invoke;
mod maintenance;
mod plugins;
mod power_loss;
mod readme;
mod scripts;
mod security;
mod signatures;
mod swap;
mod templates;
mod tidy;
mod trouble;
mod webhooks;
