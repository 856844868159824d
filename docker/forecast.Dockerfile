# The program of demand forecasts, for a task of ECS (infra/forecast.yaml): `docker build -f docker/forecast.Dockerfile .`
ARG PYTHON_IMAGE=python:3.11.13-slim
FROM ${PYTHON_IMAGE}

RUN useradd --no-create-home --uid 50000 forecast
COPY requirements-forecast.txt /tmp/requirements-forecast.txt
RUN pip install --no-cache-dir --disable-pip-version-check --only-binary :all: -r /tmp/requirements-forecast.txt
COPY forecast /opt/ecommerce/forecast
RUN python -m compileall -q /opt/ecommerce/forecast
USER forecast
# On Fargate the root file system is read only; a volume takes the rights of the folder that it covers.
VOLUME ["/tmp"]
WORKDIR /tmp
ENV PYTHONPATH=/opt/ecommerce \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/tmp/numba
ENTRYPOINT ["python", "-m", "forecast"]
