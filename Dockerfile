# One image for all processes; what a container runs is its command (see docker-compose.yml).
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 headrace
WORKDIR /srv/headrace
COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY api ./api
COPY workers ./workers
COPY scheduler ./scheduler
COPY storage ./storage
COPY companies ./companies
COPY common ./common
COPY models ./models
COPY cli ./cli
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps .
# Where docker-compose.yml keeps the keys that close the S3 server's inner ports; a new volume takes this owner over.
RUN install -d -o headrace -g headrace -m 700 /etc/seaweedfs
USER headrace
# Production unless somebody says otherwise: what can be guessed or listened to is refused at start.
ENV ENVIRONMENT=production API_HOST=0.0.0.0 PYTHONUNBUFFERED=1
CMD ["python", "-m", "api"]
