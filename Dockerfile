# One image for all roles: the programs party, coordinator and attack, and what they need of Debian. It has no shell, and
# nobody in it is root (docs/how-to/containers.md).
#
#   docker build --tag hashvfl .                                           tables in files, the CPU, spans by OTLP
#   docker build --tag hashvfl:full --build-arg FEATURES="sql wgpu" .      SQL and GPUs too
#
# The first stage gathers all files. Its image needs a shell and Rust, or a shell alone where target/container holds the
# programs and packages already: that is how tests/containers/run builds.
ARG BUILDER=rust:1.95-slim-bookworm

FROM ${BUILDER} AS files
ARG FEATURES=
WORKDIR /hashvfl
COPY . .
RUN sh containers/gather /files "${FEATURES}"

FROM scratch
LABEL org.opencontainers.image.title="HashVFL" \
      org.opencontainers.image.description="Vertical federated learning with hash codes: party, coordinator and attack" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=files /files/root/ /
# Ledgers, models and keys; mount a volume there.
COPY --from=files --chown=10001:10001 /files/state/ /var/lib/hashvfl/
USER 10001:10001
WORKDIR /var/lib/hashvfl
CMD ["party", "--help"]
