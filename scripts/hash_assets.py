"""Write SHA256SUMS of the shipped assets, which `svp doctor` compares with; after every change of an asset."""

from svp.diffusion.model_folder import ASSETS
from svp.doctor.weights import SUMS, shipped_files
from svp.media.hashing import sha256_file


def main() -> None:
    names = [path.relative_to(ASSETS).as_posix() for path in shipped_files()]
    (ASSETS / SUMS).write_text("".join(f"{sha256_file(ASSETS / name)}  {name}\n" for name in names))
    print(f"{ASSETS / SUMS}: {len(names)} files")


if __name__ == "__main__":
    main()
