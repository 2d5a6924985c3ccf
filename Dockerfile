# The command `sluice`: router processes, workers, tools.
#   docker build -t sluice .
#   docker run --rm sluice version

# Pinned by version and digest (of the index for all architectures); another: --build-arg PYTHON=…
ARG PYTHON=python:3.12.11-slim-bookworm@sha256:519591d6871b7bc437060736b9f7456b8731f1499a57e22e6c285135ae657bf7

FROM ${PYTHON} AS build
# annoy is compiled; the compiler stays in this stage.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/sluice
WORKDIR /src
COPY requirements.lock ./
# annoy is otherwise tuned to the processor of the machine that builds it.
RUN ANNOY_COMPILER_ARGS="-O3,-fpermissive,-ffast-math,-fno-associative-math,-std=c++14,-DANNOYLIB_MULTITHREADED_BUILD" \
    /opt/sluice/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY router router
COPY streams streams
RUN /opt/sluice/bin/pip install --no-cache-dir --no-deps .

FROM ${PYTHON}
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/sluice sluice \
 && install -d -o sluice /index
COPY --from=build /opt/sluice /opt/sluice
ENV PATH=/opt/sluice/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OPENBLAS_NUM_THREADS=1
USER sluice
WORKDIR /var/lib/sluice
ENTRYPOINT ["sluice"]
CMD ["--help"]
