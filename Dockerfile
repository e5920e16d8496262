# One image for all roles: the programs party, coordinator and attack, and what they need of Debian. It has no shell, and
# nobody in it is root (docs/how-to/containers.md).
#
#   docker build --tag hashvfl .                                           tables in files, the CPU, spans by OTLP
#   docker build --tag hashvfl:full --build-arg FEATURES="sql wgpu" .      SQL and GPUs too
#
# The first stage gathers all files. Its image needs a shell, Rust and apt-get, or a shell and dpkg-deb alone where READY names a
# folder that holds programs and packages already: that is how tests/containers/run builds.
ARG BUILDER=rust:1.95-slim-bookworm

FROM ${BUILDER} AS files
ARG FEATURES=
ARG READY=
WORKDIR /hashvfl
COPY . .
RUN sh deploy/containers/gather /files "${FEATURES}" "${READY}"

FROM scratch
LABEL org.opencontainers.image.title="HashVFL" \
      org.opencontainers.image.description="Vertical federated learning with hash codes: party, coordinator and attack" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=files /files/root/ /
# Ledgers, models and keys; mount a volume there. docker-compose.yml has volumes for all sides of its demo in /srv/hashvfl.
COPY --from=files --chown=10001:10001 /files/own/ /var/lib/hashvfl/
COPY --from=files --chown=10001:10001 /files/demo/ /srv/hashvfl/
USER 10001:10001
WORKDIR /var/lib/hashvfl
# Where a process is asked for its health: its config says the same of `monitor`. Either program asks either side.
ENV HASHVFL_MONITOR=unix:/run/hashvfl/monitor.sock
HEALTHCHECK --interval=10s --timeout=10s --start-period=5m --retries=3 CMD ["party", "health"]
CMD ["party", "--help"]
