# One image for all roles: `party` and `coordinator` are its binaries.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /hashvfl
COPY . .
RUN cargo build --release -p hashvfl-party -p hashvfl-coordinator

FROM debian:bookworm-slim
# Vulkan's loader, for device = "wgpu" where the host gives the container a GPU.
RUN apt-get update && apt-get install -y --no-install-recommends libvulkan1 && rm -rf /var/lib/apt/lists/*
COPY --from=build /hashvfl/target/release/party /hashvfl/target/release/coordinator /usr/local/bin/
RUN useradd --create-home hashvfl
USER hashvfl
WORKDIR /home/hashvfl
