"""SVP: style-enhanced vivid portraits. Import names lazily, so that `import svp` stays quick."""

__version__ = "0.1.0"
