"""What the package is called, what it needs and what comes with it."""
import re
from pathlib import Path

from setuptools import find_packages, setup

# TensorFlow is an extra, not a requirement: many users run tensorflow-cpu, tensorflow-gpu or a vendor's build, and a
# requirement on `tensorflow` would install a second one over it. The last TensorFlow with Estimator is 2.15.
TENSORFLOW_1 = ["tensorflow>=1.15,<2", "protobuf<3.21"]
TENSORFLOW_2 = ["tensorflow>=2.0,<2.16", "numpy<2"]

HERE = Path(__file__).parent
VERSION = re.search(r'VERSION = "(.+)"', (HERE / "estimator_warmstart" / "version.py").read_text()).group(1)


def only_where(marker, requirements):
    return [f"{requirement}; {marker}" for requirement in requirements]


setup(
    name="estimator-warmstart",
    version=VERSION,
    description="Warm-start TensorFlow Estimators from old checkpoints, whatever changed in the model since",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The estimator-warmstart authors",
    license="Apache-2.0",
    keywords="tensorflow estimator checkpoint warm-start fine-tuning embeddings",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.7",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["estimator_warmstart", "estimator_warmstart.*"]),
    package_data={"estimator_warmstart": ["params_schema.json", "py.typed"]},
    entry_points={"console_scripts": ["estimator-warmstart = estimator_warmstart.cli:main"]},
    zip_safe=False,
    python_requires=">=3.7",
    install_requires=["numpy"],
    extras_require={
        "tf1": TENSORFLOW_1,
        "tf2": TENSORFLOW_2,
        "tensorflow": [
            *only_where("python_version < '3.8'", TENSORFLOW_1),
            *only_where("python_version >= '3.8'", TENSORFLOW_2),
        ],
        "demo": ["matplotlib>=3.5,<4"],
        "dev": [
            "pytest>=7.4,<10",
            "hypothesis>=6.79,<7",
            "jsonschema>=4.17,<5",
            "pyyaml>=6,<7",
            # Lint and types are checked once, on the newer Python, against the older one's syntax.
            *only_where("python_version >= '3.9'", ["ruff>=0.17,<0.18", "mypy>=1.11,<3"]),
        ],
    },
)
